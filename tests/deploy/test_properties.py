"""Checks every rendered directory for every property, and every property for the
violations that it must detect."""

import copy

# These modules register the properties.
import every_pod  # noqa: F401
import host_files  # noqa: F401
import kured_pod  # noqa: F401
import pytest
import simulator_pod  # noqa: F401
import updater_pod  # noqa: F401
from properties import DELETED, PROPERTIES
from rendering import DIRECTORIES, render


@pytest.mark.parametrize("directory", DIRECTORIES)
@pytest.mark.parametrize("name", PROPERTIES)
def test_property_holds(directory, name):
    assert list(PROPERTIES[name].check(render(directory))) == []


def mutate(rendered, mutation):
    first, *path, last = mutation.path
    place = rendered.objects[first]
    for key in path:
        place = place[key]
    if mutation.value is DELETED:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(mutation.value)
    else:
        place[last] = mutation.value


@pytest.mark.parametrize(
    ("name", "mutation"),
    [
        pytest.param(name, mutation, id=f"{name}-{mutation.path[-1]}")
        for name, each in PROPERTIES.items()
        for mutation in each.mutations
    ],
)
def test_property_detects_violation(name, mutation):
    rendered = copy.deepcopy(render(mutation.directory))
    mutate(rendered, mutation)
    assert list(PROPERTIES[name].check(rendered)) != []


def test_every_property_has_a_violation_to_detect():
    assert [name for name, each in PROPERTIES.items() if not each.mutations] == []
