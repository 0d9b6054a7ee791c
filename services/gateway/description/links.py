"""Links: which operations go on from what another one made. Pure, from the Endpoint table alone.

A link is there where an answer's `id` (or the member of the parameter's name) fills the one parameter that the next
path has more, or the only one that the endpoint which gets a thing of that type has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from shared.contracts.constants import Endpoint

AnyEndpoint = Endpoint[Any, Any, Any]
Json = dict[str, Any]
_PARAMETER = re.compile(r"\{(\w+)\}")
_MAKERS = ("POST", "PUT")


def links_of(endpoint: AnyEndpoint, named: Mapping[str, AnyEndpoint]) -> Json:
    """The links of the endpoint's own answer, by the name of the operation they lead to."""
    members = _members(endpoint.returns)
    if endpoint.method not in _MAKERS or not members:
        return {}
    links: Json = {}
    for name, follower in named.items():
        if follower is endpoint or follower.method == "WS":
            continue
        parameter = _filled(endpoint, follower)
        member = None if parameter is None else _member(parameter, members)
        if member is not None:
            kept = {one: f"$request.path.{one}" for one in _PARAMETER.findall(endpoint.path) if one in follower.path}
            links[name] = {"operationId": name, "parameters": {**kept, parameter: f"$response.body#/{member}"}}
    return links


def _filled(endpoint: AnyEndpoint, follower: AnyEndpoint) -> str | None:
    """The parameter of `follower` that the answer of `endpoint` fills."""
    rest = follower.path.removeprefix(endpoint.path + "/")
    if rest != follower.path:
        (first, *others) = rest.split("/")
        named = _PARAMETER.fullmatch(first)
        return named[1] if named and not any(map(_PARAMETER.search, others)) else None
    names = _PARAMETER.findall(follower.path)
    gets = follower.method == "GET" and len(names) == 1 and _is_a(follower.returns, endpoint.returns)
    return names[0] if gets and not _PARAMETER.search(endpoint.path.rpartition("/")[2]) else None


def _is_a(got: Any, made: Any) -> bool:
    return (
        isinstance(got, type) and isinstance(made, type) and issubclass(got, msgspec.Struct) and issubclass(got, made)
    )


def _members(kind: Any) -> tuple[str, ...]:
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return ()
    return tuple(field.encode_name for field in msgspec.structs.fields(kind))


def _member(parameter: str, members: tuple[str, ...]) -> str | None:
    if parameter in members:
        return parameter
    return "id" if parameter.endswith("_id") and "id" in members else None
