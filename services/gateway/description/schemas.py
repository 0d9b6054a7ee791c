"""JSON Schema of the contracts' types. Pure; it knows no endpoint and no path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import inspect

Json = dict[str, Any]
REFERENCE = "#/components/schemas/{name}"


def schemas_of(types: Iterable[Any]) -> tuple[dict[Any, Json], Json]:
    """Schema by type, and the components they refer to."""
    listed = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(listed, ref_template=REFERENCE)
    for kind in listed:
        _name_times(inspect.type_info(kind), components, set())
    for schema in components.values():
        if "description" in schema:
            schema["description"] = re.sub(r"\s+", " ", schema["description"])
    return dict(zip(listed, schemas, strict=True)), dict(components)


def without_null(field: Json) -> Json:
    """A parameter that isn't given is absent, never null."""
    field = {key: value for key, value in field.items() if not (key == "default" and value is None)}
    options = [option for option in field.get("anyOf", ()) if option != {"type": "null"}]
    return options[0] if len(options) == 1 else field


def schema_of_example(value: Any) -> Json:
    """The schema of values like this one: its types, every member required."""
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case str():
            return {"type": "string"}
        case list():
            return {"type": "array", "items": schema_of_example(value[0]) if value else {}}
        case dict():
            members = {name: schema_of_example(member) for name, member in value.items()}
            return {"type": "object", "properties": members, "required": list(members)}
    return {}


def _name_times(kind: Any, components: Json, seen: set[Any]) -> None:
    """Adds `format: date-time`, which msgspec leaves out, to the times of every struct that is reached from `kind`."""
    if isinstance(kind, inspect.StructType) and kind.cls not in seen:
        seen.add(kind.cls)
        (reference,), _ = msgspec.json.schema_components([kind.cls], ref_template="{name}")
        properties = components[reference["$ref"]]["properties"]
        for field in kind.fields:
            _name_time(properties[field.encode_name], field.type)
            _name_times(field.type, components, seen)
    inner = [getattr(kind, name, None) for name in ("type", "item_type", "value_type")]
    for member in (*inner, *getattr(kind, "types", ())):
        if isinstance(member, inspect.Type):
            _name_times(member, components, seen)


def _name_time(schema: Json, kind: inspect.Type) -> None:
    options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    if any(_is_time(option) for option in options):
        target = next((option for option in schema.get("anyOf", ()) if option == {"type": "string"}), schema)
        target["format"] = "date-time"


def _is_time(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.DateTimeType) or (
        isinstance(kind, inspect.Metadata) and isinstance(kind.type, inspect.DateTimeType)
    )
