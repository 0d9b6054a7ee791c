"""`rpc.discover`: what a port serves, as an OpenRPC document made from the bindings alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from shared.contracts.agents import Handoff
from shared.contracts.constants import ERROR_CODES, Method
from shared.rpc.wire import CANCELLED

Json = dict[str, Any]
OPENRPC_VERSION = "1.3.2"
_SCHEMAS = "#/components/schemas/"
_ERRORS = "#/components/errors/"
#: Ours (DECISIONS, "Agents"); the specification's own are every server's.
_OWN_CODES = range(-32019, -32009)


@dataclass(frozen=True)
class About:
    """Whose methods they are."""

    title: str = "agent"
    version: str = "1"
    description: str = ""


def document(methods: Sequence[Method[Any, Any]], about: About, url: str) -> Json:
    """The OpenRPC document of what is served at `url`. Raises what msgspec raises for a type without a schema."""
    types = [kind for method in methods for kind in (method.params, method.returns)]
    listed = list(dict.fromkeys([*types, Handoff]))
    shown, components = msgspec.json.schema_components(listed, ref_template=_SCHEMAS + "{name}")
    schemas = dict(zip(listed, shown, strict=True))
    errors = _errors()
    described = [_method(method, schemas, components, errors) for method in methods]
    params = {_name(schemas[method.params]) for method in methods}
    kept = {name: _tidy(schema) for name, schema in components.items() if name not in params or _used(name, components)}
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": about.title, "version": about.version, "description": about.description},
        "servers": [{"name": "WebSocket", "url": url, "summary": "JSON-RPC 2.0, one text frame a message or batch"}],
        "methods": described,
        "components": {"schemas": kept, "errors": errors},
    }


def _method(method: Method[Any, Any], schemas: dict[Any, Json], components: dict[str, Json], errors: Json) -> Json:
    fields = components[_name(schemas[method.params])]
    params: list[Json] = [
        {"name": name, "schema": schema, "required": name in fields["required"]}
        for name, schema in fields["properties"].items()
    ]
    meta = {"name": "_meta", "summary": "HandoffTool", "schema": schemas[Handoff], "required": False}
    return {
        "name": method.name,
        "summary": method.summary,
        "paramStructure": "by-name",
        "params": [*sorted(params, key=lambda param: not param["required"]), meta],
        "result": {"name": "result", "schema": schemas[method.returns]},
        "errors": [{"$ref": _ERRORS + name} for name in errors],
    }


def _errors() -> Json:
    """One entry a JSON-RPC code, since a method's errors must have codes of their own; `data.code` tells further."""
    found: Json = {"E32010": {"code": CANCELLED, "message": "Request cancelled"}}
    for error in sorted(ERROR_CODES.values(), key=lambda error: (-error.rpc_code, error.code)):
        if error.rpc_code in _OWN_CODES and error.rpc_code != CANCELLED:
            entry = found.setdefault(
                f"E{-error.rpc_code}", {"code": error.rpc_code, "message": error.message, "data": {"code": []}}
            )
            entry["data"]["code"].append(error.code)
    return found


def _name(schema: Json) -> str:
    return str(schema["$ref"]).removeprefix(_SCHEMAS)


def _used(name: str, components: dict[str, Json]) -> bool:
    return any(_SCHEMAS + name in set(_references(schema)) for schema in components.values())


def _references(schema: Any) -> Iterable[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _tidy(schema: Json) -> Json:
    if "description" not in schema:
        return schema
    return {**schema, "description": re.sub(r"\s+", " ", schema["description"])}
