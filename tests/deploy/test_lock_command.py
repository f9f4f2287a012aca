"""Checks that the command in the docs that blocks Kured's lock does so for each concurrency.

Kured reads two formats (pkg/daemonsetlock of Kured 1.23). With a concurrency of one, the lock
is taken if it names another node. With a higher one, it is taken if the list has as many
entries as the concurrency, or more. In both, an entry without a TTL does not expire, and
unknown members are ignored.
"""

import json
import re

import pytest
from pages import pages
from rendering import render


def blocking_values():
    """Returns the values that the docs write into the lock, except for a real node's name."""
    values = [
        value
        for text in pages().values()
        for value in re.findall(r"weave\.works/kured-node-lock='(.*?)'", text)
    ]
    return [json.loads(value) for value in values if '"NODE"' not in value]


def is_blocked(lock, concurrency):
    if concurrency == 1:
        return lock.get("nodeID") == "nobody" and "TTL" not in lock
    entries = lock.get("locks", [])
    return len(entries) >= concurrency and all("TTL" not in entry for entry in entries)


def test_docs_have_one_value():
    first, *others = blocking_values()
    assert others == [first] * len(others)


@pytest.mark.parametrize("concurrency", [1, 2, 3])
def test_documented_value_blocks_the_lock(concurrency):
    assert is_blocked(blocking_values()[0], concurrency)


def test_values_of_one_format_do_not_block_the_other():
    assert not is_blocked({"nodeID": "nobody"}, 2)
    assert not is_blocked({"locks": [{"nodeID": "nobody"}]}, 1)
    assert not is_blocked(blocking_values()[0], 4)


def test_lock_is_where_the_docs_look_for_it():
    (container,) = render("deploy").pod_of("kured")["containers"]
    assert not [arg for arg in container["args"] if arg.startswith("--lock-annotation")]
