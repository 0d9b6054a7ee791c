"""The released wire shapes: `python -m tests.released_api`, run for a release, writes them down; a test holds later
versions to them.

Taken from OpenAPI. A type is written as its options: `"high" | "low"`, `string | null`, `[Alert]` for a list,
`{string}` for an object of any names, `any`. `?` after a name says that it may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from services.gateway.description.domain import document
from shared.contracts.catalog import ENDPOINTS

RELEASED = Path(__file__).parent / "contract" / "released_api.json"
Json = dict[str, Any]


def current() -> Json:
    """The shapes of this version: `operations` by method and path, `shapes` by name."""
    named = {str(endpoint): endpoint for endpoint in ENDPOINTS.values()}
    return shapes_of(document(named, "gateway", [], "cookie"))


def shapes_of(api: Mapping[str, Any]) -> Json:
    """The same of any OpenAPI document of ours."""
    parameters = api["components"]["parameters"]
    operations = {
        f"{method.upper()} {path}": _operation(operation, parameters)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    }
    shapes = {name: _fields(schema) for name, schema in api["components"]["schemas"].items() if "properties" in schema}
    return {"operations": operations, "shapes": shapes}


def _operation(operation: Json, shared: Mapping[str, Json]) -> Json:
    parameters = [shared[one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in operation["parameters"]]
    told: Json = {
        "permission": operation["x-permission"],
        "parameters": {
            f"{one['in']} {one['name']}{'' if one.get('required') else '?'}": type_of(one["schema"])
            for one in parameters
        },
        "answers": {
            status: {media: type_of(content["schema"]) for media, content in answer.get("content", {}).items()}
            for status, answer in operation["responses"].items()
            if status < "4"
        },
    }
    if "requestBody" in operation:
        body = operation["requestBody"]
        kind = "body" if body.get("required") else "body?"
        told[kind] = {media: type_of(content["schema"]) for media, content in body["content"].items()}
    return told


def _fields(schema: Json) -> dict[str, str]:
    required = schema.get("required", ())
    return {f"{name}{'' if name in required else '?'}": type_of(one) for name, one in schema["properties"].items()}


def type_of(schema: Mapping[str, Any]) -> str:
    """The type in our writing."""
    match schema:
        case {"$ref": str(reference)}:
            return reference.rpartition("/")[2]
        case {"anyOf": list(several)}:
            return " | ".join(map(type_of, several))
        case {"enum": list(words)}:
            return " | ".join(orjson.dumps(word).decode() for word in words)
        case {"type": "array"}:
            return f"[{type_of(schema.get('items', {}))}]"
        case {"type": "object"}:
            inner = schema.get("additionalProperties", {})
            return f"{{{type_of(inner if isinstance(inner, dict) else {})}}}"
    return str(schema.get("type", "any"))


if __name__ == "__main__":
    RELEASED.write_bytes(orjson.dumps(current(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
