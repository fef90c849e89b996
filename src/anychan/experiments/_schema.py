"""As much of JSON Schema (draft 2020-12) as the schema of the records takes, in words for people.

jsonschema is no dependency of ours; what is checked here is checked alike there, and a schema that takes more than
these keywords is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Fault = tuple[str, str]  # where, and what is wrong there

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def faults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str = "") -> Iterator[Fault]:
    """What of a value is not as a schema says.

    Args:
        value: as ``json.loads`` gives it.
        schema: what it must be.
        root: where ``$ref`` leads: the whole schema.
        place: the value's own, such as "results[0].n".

    Yields:
        The place of each fault, and a sentence with the value there and what was allowed.

    Raises:
        ValueError: for a keyword that is not known here.

    Example:
        >>> schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 1}}}
        >>> list(faults({"n": 0}, schema, schema)), list(faults({}, schema, schema))
        ([('n', 'is 0; it should be 1 or more')], [('n', 'is missing')])
    """
    if said := _itself(value, schema, root):
        yield place, f"is {value!r:.80}; it should be {said}"
        return  # what else is wrong with it follows from that
    for keyword, told in schema.items():
        if keyword == "$ref":
            yield from faults(value, _defined(told, root), root, place)
        elif keyword in _INSIDE:
            yield from _INSIDE[keyword](value, schema, root, place)
        elif keyword not in _VALUES and keyword not in _REMARKS:
            raise ValueError(f"keyword {keyword!r} of the schema is not known")


def _itself(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """What a value should be, whatever is in it; empty if it is that."""
    if "$ref" in schema and (said := _itself(value, _defined(schema["$ref"], root), root)):
        return said
    return next((said for name, told in schema.items() if name in _VALUES and (said := _VALUES[name](value, told))), "")


def _defined(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = root["$defs"][reference.rpartition("/")[2]]
    return found


def _type(value: Any, told: str | list[str]) -> str:
    names = [told] if isinstance(told, str) else told
    return "" if any(_is(value, name) for name in names) else " or ".join(_WORDS[name] for name in names)


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    whole = isinstance(value, float) and value.is_integer()  # 1.0 is 1 in JSON
    return isinstance(value, _TYPES[name]) or (name == "integer" and whole)


def _among(value: Any, allowed: list[Any]) -> bool:
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed)  # true is not 1


def _minimum(value: Any, told: float) -> str:
    return f"{told} or more" if _is_number(value) and not value >= told else ""


def _maximum(value: Any, told: float) -> str:
    return f"{told} or less" if _is_number(value) and not value <= told else ""


def _items_at_least(value: Any, told: int) -> str:
    return f"a list of {told} or more" if isinstance(value, list) and len(value) < told else ""


def _items_at_most(value: Any, told: int) -> str:
    return f"a list of {told} or fewer" if isinstance(value, list) and len(value) > told else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_VALUES: Mapping[str, Callable[[Any, Any], str]] = {
    "type": _type,
    "const": lambda value, told: "" if _among(value, [told]) else repr(told),
    "enum": lambda value, told: "" if _among(value, told) else f"one of {', '.join(map(repr, told))}",
    "minimum": _minimum,
    "maximum": _maximum,
    "minItems": _items_at_least,
    "maxItems": _items_at_most,
}


def _items(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str) -> Iterator[Fault]:
    for i, item in enumerate(value if isinstance(value, list) else ()):
        yield from faults(item, schema["items"], root, f"{place}[{i}]")


def _properties(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str) -> Iterator[Fault]:
    for name, inner in schema["properties"].items():
        if isinstance(value, dict) and name in value:
            yield from faults(value[name], inner, root, _inside(place, name))


def _others(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str) -> Iterator[Fault]:
    known = schema.get("properties", {})
    for name, item in value.items() if isinstance(value, dict) else ():
        if name not in known:
            yield from faults(item, schema["additionalProperties"], root, _inside(place, name))


def _required(value: Any, schema: Mapping[str, Any], _: Mapping[str, Any], place: str) -> Iterator[Fault]:
    for name in schema["required"] if isinstance(value, dict) else ():
        if name not in value:
            yield _inside(place, name), "is missing"


def _any_of(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str) -> Iterator[Fault]:
    tried = [(_itself(value, one, root), list(faults(value, one, root, place))) for one in schema["anyOf"]]
    if not all(found for _, found in tried):
        return
    if inside := [found for said, found in tried if not said]:  # the value itself is right for these
        yield from inside[0]
    else:
        yield place, f"is {value!r:.80}; it should be {' or '.join(said for said, _ in tried)}"


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


_INSIDE: Mapping[str, Callable[..., Iterator[Fault]]] = {
    "items": _items,
    "properties": _properties,
    "additionalProperties": _others,
    "required": _required,
    "anyOf": _any_of,
}
_REMARKS = {"$schema", "$defs", "title", "description"}
