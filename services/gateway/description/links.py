"""Links: which operations go on from what another one made or listed. Pure, from the Endpoint table alone.

A link is there where a thing's `id` (or its member of the parameter's name) fills the one parameter that the next path
has more, or the only one of an endpoint that answers with a thing of that type. Of a list it is the first thing's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_origin

import msgspec
from msgspec import inspect

from shared.contracts.constants import Endpoint

AnyEndpoint = Endpoint[Any, Any, Any]
Json = dict[str, Any]
_PARAMETER = re.compile(r"\{(\w+)\}")
_MAKERS = ("POST", "PUT")


def links_of(endpoint: AnyEndpoint, named: Mapping[str, AnyEndpoint]) -> Json:
    """The links of the endpoint's own answer, by the name of the operation they lead to."""
    thing, place = _thing(endpoint)
    members = _members(thing)
    links: Json = {}
    if not members:
        return links
    for name, follower in named.items():
        parameter = None if follower is endpoint or follower.method == "WS" else _filled(endpoint, thing, follower)
        member = None if parameter is None else _member(parameter, members)
        if member is not None:
            kept = {one: f"$request.path.{one}" for one in _PARAMETER.findall(endpoint.path) if one in follower.path}
            parameters = {**kept, parameter: f"$response.body#/{place}{member}"}
            links[name] = {"operationId": name, "parameters": parameters}
    return links


def _thing(endpoint: AnyEndpoint) -> tuple[Any, str]:
    """What the endpoint makes, or lists, and where in its answer it is; None for neither."""
    if endpoint.method in _MAKERS:
        return endpoint.returns, ""
    if endpoint.method != "GET" or _members(endpoint.returns)[:1] != ("items",):
        return None, ""
    kind = inspect.type_info(endpoint.returns)
    items = kind.fields[0].type if isinstance(kind, inspect.StructType) else None
    item = items.item_type if isinstance(items, inspect.ListType) else None
    return (item.cls, "items/0/") if isinstance(item, inspect.StructType) else (None, "")


def _filled(endpoint: AnyEndpoint, thing: Any, follower: AnyEndpoint) -> str | None:
    """The parameter of `follower` that the thing fills."""
    rest = follower.path.removeprefix(endpoint.path + "/")
    if rest != follower.path:
        (first, *others) = rest.split("/")
        named = _PARAMETER.fullmatch(first)
        return named[1] if named and not any(map(_PARAMETER.search, others)) else None
    names = _PARAMETER.findall(follower.path)
    if len(names) == 1 and names[0] not in endpoint.path and _is_a(follower.returns, thing):
        return str(names[0])
    return None


def _is_a(got: Any, made: Any) -> bool:
    return (
        isinstance(got, type) and isinstance(made, type) and issubclass(got, msgspec.Struct) and issubclass(got, made)
    )


def _members(kind: Any) -> tuple[str, ...]:
    plain = get_origin(kind) or kind
    if not (isinstance(plain, type) and issubclass(plain, msgspec.Struct)):
        return ()
    return tuple(field.encode_name for field in msgspec.structs.fields(plain))


def _member(parameter: str, members: tuple[str, ...]) -> str | None:
    if parameter in members:
        return parameter
    return "id" if parameter.endswith("_id") and "id" in members else None
