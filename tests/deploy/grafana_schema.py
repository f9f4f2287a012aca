"""Compares a dashboard with the types of the Grafana Foundation SDK.

These types are generated from Grafana's own schemas: of the dashboard, of the options
of each kind of panel, and of the queries of Prometheus. But the SDK's from_json() drops
a member that it does not know, and takes any value. So this module reads the hints of
the types.
"""

import enum
import json
import typing

from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models


def lost_members(before, after, path):
    """Yields the members that are in a value and not in its copy, except null."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if value is not None and name not in after:
                yield f"{path}.{name}: not in the schema"
            else:
                yield from lost_members(value, after.get(name), f"{path}.{name}")
    elif isinstance(before, list) and isinstance(after, list):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from lost_members(*pair, f"{path}[{number}]")


def wrong_values(value, hint, path):
    """Yields what is wrong with a value that must have this type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hasattr(type(value), "from_json"):
        for name, kind in typing.get_type_hints(type(value)).items():
            yield from wrong_values(getattr(value, name), kind, f"{path}.{name}")
    elif hasattr(hint, "from_json") and isinstance(value, dict):
        # In some types the SDK leaves a list of objects as it is.
        parsed = hint.from_json(value)
        yield from lost_members(value, as_json(parsed), path)
        yield from wrong_values(parsed, hint, path)
    elif origin is typing.Union:
        if value is not None or type(None) not in arguments:
            kinds = [kind for kind in arguments if kind is not type(None)]
            yield from min((list(wrong_values(value, kind, path)) for kind in kinds), key=len)
    elif origin is typing.Literal:
        if value not in arguments:
            yield f"{path}: {value!r} is not one of {arguments}"
    elif origin is list and isinstance(value, list):
        for number, item in enumerate(value):
            yield from wrong_values(item, arguments[0], f"{path}[{number}]")
    elif origin is dict and isinstance(value, dict):
        for name, item in value.items():
            yield from wrong_values(item, arguments[1], f"{path}.{name}")
    elif isinstance(hint, enum.EnumType):
        if value not in [member.value for member in hint]:
            yield f"{path}: {value!r} is not one of {[member.value for member in hint]}"
    elif hint not in (object, typing.Any):
        kinds = (int, float) if hint is float else origin or hint
        if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
            yield f"{path}: {value!r} is not of the type {hint}"


def as_json(item):
    return json.loads(json.dumps(item, cls=JSONEncoder))


def problems(document):
    """Returns how a dashboard differs from Grafana's schema: a list of texts.

    Found are members that the schema does not have, values of another type, and values
    that are not in an enumeration. Not found are missing members, for which Grafana has
    a default. The schema leaves the options of transformations and the values of
    overrides open.
    """
    plugins.register_default_plugins()
    try:
        parsed = models.Dashboard.from_json(document)
        found = [*lost_members(document, as_json(parsed), ""), *wrong_values(parsed, None, "")]
    except (AttributeError, KeyError, TypeError) as error:
        return [f"the SDK cannot read it: {error!r}"]
    for panel in document["panels"]:
        if runtime.panelcfg_config(panel["type"]) is None:
            found.append(f"unknown kind of panel: {panel['type']}")
    return found
