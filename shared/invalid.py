"""Why a value isn't of its contract: every invalid field with its path, where msgspec stops at the first.

Asked only once a value was refused, so that what is valid pays nothing. Knows neither HTTP nor any contract.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

import msgspec

#: So many fields are named at most.
MAX_PROBLEMS = 100
_PLACE = re.compile(r" - at `(?:key` in `)?\$(.*?)`$", re.DOTALL)
Problem: TypeAlias = dict[str, str]


def problem_of(error: msgspec.ValidationError, root: str) -> Problem:
    """msgspec's `... - at `$.limit`` as `{"path": "query.limit", "message": ...}`."""
    text = str(error)
    place = _PLACE.search(text)
    message, path = (text, root) if place is None else (text[: place.start()], root + place.group(1))
    for phrase in ("unknown field `", "missing required field `"):
        if phrase in message:
            path = f"{path}.{message.split(phrase)[1].rstrip('`')}"
    return {"path": path, "message": message}


def problems_of(error: msgspec.ValidationError, value: Any, kind: Any, root: str, *, strict: bool) -> list[Problem]:
    """Every field of the plain value that isn't as `kind` has it, at most `MAX_PROBLEMS`; `error` is the first."""
    return list(islice(_problems(value, kind, root, strict), MAX_PROBLEMS)) or [problem_of(error, root)]


def problems_in_json(error: msgspec.ValidationError, data: bytes, kind: Any, root: str) -> list[Problem]:
    """As `problems_of`, of a JSON text. Raises msgspec.DecodeError when the text is no JSON behind the first."""
    try:
        value = msgspec.json.decode(data)
    except RecursionError:
        return [problem_of(error, root)]
    return problems_of(error, value, kind, root, strict=True)


def _problems(value: Any, kind: Any, path: str, strict: bool) -> Iterator[Problem]:
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        found = False
        for problem in _within(value, kind, path, strict):
            found = True
            yield problem
        if not found:
            yield problem_of(error, path)


def _within(value: Any, kind: Any, path: str, strict: bool) -> Iterator[Problem]:
    """The problems of a value's parts; none when it is the value itself that is wrong."""
    plain = _plain(value, kind)
    origin, arguments = get_origin(plain) or plain, get_args(plain)
    if isinstance(value, dict) and isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        yield from _members(value, plain, origin, path, strict)
    elif isinstance(value, list) and origin is list and arguments:
        for number, item in enumerate(value):
            yield from _problems(item, arguments[0], f"{path}[{number}]", strict)
    elif isinstance(value, dict) and origin is dict and arguments:
        for name, item in value.items():
            yield from _problems(item, arguments[1], f"{path}.{name}", strict)


def _members(
    value: dict[str, Any], kind: Any, struct: type[msgspec.Struct], path: str, strict: bool
) -> Iterator[Problem]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, field in fields.items():
        if name in value:
            yield from _problems(value[name], field.type, f"{path}.{name}", strict)
        elif field.required:
            yield {"path": f"{path}.{name}", "message": f"Object missing required field `{name}`"}
    if struct.__struct_config__.forbid_unknown_fields:
        known = {*fields, struct.__struct_config__.tag_field}
        for name in [name for name in value if name not in known]:
            yield {"path": f"{path}.{name}", "message": f"Object contains unknown field `{name}`"}


def _plain(value: Any, kind: Any) -> Any:
    """A type without its bounds, and of a union the only member that can hold the value's parts."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) not in (Union, UnionType):
        return kind
    members = [_plain(value, member) for member in get_args(kind)]
    wanted = dict if isinstance(value, dict) else list
    fitting = [
        member
        for member in members
        if (origin := get_origin(member) or member) is wanted
        or (wanted is dict and isinstance(origin, type) and issubclass(origin, msgspec.Struct))
    ]
    return fitting[0] if len(fitting) == 1 else kind
