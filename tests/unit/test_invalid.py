"""Every field of a refused value is named with its path."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from shared.contracts.hunts import HuntCreate, HuntUpdate
from shared.contracts.logs import LogQuery
from shared.invalid import MAX_PROBLEMS, problems_in_json, problems_of

Short = Annotated[str, msgspec.Meta(max_length=3)]


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    name: Short
    number: int = 0


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    wanted: str
    inner: Inner | None = None
    many: Annotated[list[Inner], msgspec.Meta(max_length=5)] = []
    values: dict[str, Short] = {}


def problems(value: Any, kind: Any = Outer) -> dict[str, str]:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(value, kind)
    found = problems_of(refused.value, value, kind, "body", strict=True)
    assert found == problems_in_json(refused.value, msgspec.json.encode(value), kind, "body")
    return {item["path"]: item["message"] for item in found}


def test_each_invalid_field_is_named_at_every_depth() -> None:
    value = {
        "inner": {"name": "long", "number": "1", "other": 1},
        "many": [{"name": "a"}, {"name": 1}, 7],
        "values": {"a": "abcd", "b": "ok"},
        "unknown": None,
    }
    assert problems(value) == {
        "body.wanted": "Object missing required field `wanted`",
        "body.inner.name": "Expected `str` of length <= 3",
        "body.inner.number": "Expected `int`, got `str`",
        "body.inner.other": "Object contains unknown field `other`",
        "body.many[1].name": "Expected `str`, got `int`",
        "body.many[2]": "Expected `object`, got `int`",
        "body.values.a": "Expected `str` of length <= 3",
        "body.unknown": "Object contains unknown field `unknown`",
    }


def test_what_is_wrong_with_the_whole_is_said_of_the_whole() -> None:
    assert problems([]) == {"body": "Expected `object`, got `array`"}
    assert problems({"wanted": "", "inner": 1}) == {"body.inner": "Expected `object | null`, got `int`"}
    assert problems({"wanted": "", "many": [{"name": "a"}] * 6}) == {"body.many": "Expected `array` of length <= 5"}


def test_contracts_of_the_api_name_all_their_fields() -> None:
    hunt = {"name": "", "schedule": "x", "parameters": [{"name": "OK?"}], "range_hours": 0}
    paths = {"body.name", "body.schedule", "body.parameters[0].name", "body.range_hours"}
    assert problems(hunt, HuntCreate).keys() == paths
    assert problems(hunt, HuntUpdate).keys() == paths
    assert problems({"q": 1, "limit": 0}, LogQuery).keys() == {"body.q", "body.limit"}


def test_the_list_is_bounded_and_a_key_is_told_by_its_object() -> None:
    assert len(problems({"wanted": "", "many": [0] * 500})) == MAX_PROBLEMS
    keyed = problems({"Not A Name": "x"}, dict[Annotated[str, msgspec.Meta(pattern="^[a-z]+$")], str])
    assert keyed == {"body": "Expected `str` matching regex '^[a-z]+$'"}


def test_text_that_ends_in_the_middle_or_is_too_deep_breaks_nothing() -> None:
    for data, kind in ((b'{"unknown": 1, ', msgspec.DecodeError), (b'{"unknown": ' + b"[" * 100_000, None)):
        with pytest.raises(msgspec.ValidationError) as refused:
            msgspec.json.decode(data, type=Outer)
        if kind is None:
            assert problems_in_json(refused.value, data, Outer, "body")[0]["path"] == "body.unknown"
        else:
            with pytest.raises(kind):
                problems_in_json(refused.value, data, Outer, "body")
