"""Nothing that was released is taken away from whoever calls this API (RCA page, "API Versioning")."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.additive import breaks, options
from tests.released_api import RELEASED, current

SMALL = {
    "operations": {
        "POST /things": {
            "permission": "things:write",
            "parameters": {"query limit?": "integer"},
            "body": {"application/json": "NewThing"},
            "answers": {"201": {"application/json": "Thing"}},
        }
    },
    "shapes": {
        "NewThing": {"name": "string", "colour?": '"red" | "blue" | null', "parts?": "[Part]"},
        "Thing": {"id": "string", "colour?": '"red" | "blue"', "size": "number", "parts": "[Part]"},
        "Part": {"label?": "string"},
    },
}


def test_nothing_that_was_released_is_gone_retyped_or_newly_required() -> None:
    found = breaks(orjson.loads(RELEASED.read_bytes()), current())
    assert not found, "Add a new name beside the old one instead:\n  " + "\n  ".join(found)


def _post(api: Any) -> Any:
    return api["operations"]["POST /things"]


_BREAKS: dict[str, Callable[[Any], Any]] = {
    "POST /things is gone": lambda api: api["operations"].clear(),
    "POST /things asks for Admin instead of things:write": lambda api: _post(api).update(permission="Admin"),
    "POST /things: query limit is gone": lambda api: _post(api)["parameters"].clear(),
    "POST /things: query limit was integer and is boolean": lambda api: _post(api)["parameters"].update(
        {"query limit?": "boolean"}
    ),
    "POST /things: header X-Why is newly required": lambda api: _post(api)["parameters"].update(
        {"header X-Why": "string"}
    ),
    "POST /things body is no longer application/json": lambda api: _post(api)["body"].clear(),
    "POST /things no longer answers 201": lambda api: _post(api)["answers"].clear(),
    "NewThing sent: owner is newly required": lambda api: api["shapes"]["NewThing"].update(owner="string"),
    'NewThing sent: colour was "red" | "blue" | null and is "red" | null': lambda api: api["shapes"]["NewThing"].update(
        {"colour?": '"red" | null'}
    ),
    "Thing answered: id is gone": lambda api: api["shapes"]["Thing"].pop("id"),
    "Thing answered: id was string and is string | null": lambda api: api["shapes"]["Thing"].update(id="string | null"),
    "Thing answered: size may be left out": lambda api: (
        api["shapes"]["Thing"].update({"size?": "number"}) or api["shapes"]["Thing"].pop("size")
    ),
    "Part sent: label was string and is integer": lambda api: api["shapes"].update(Part={"label?": "integer"}),
}


@pytest.mark.parametrize("sentence", _BREAKS)
def test_a_break_is_told(sentence: str) -> None:
    today = copy.deepcopy(SMALL)
    _BREAKS[sentence](today)
    assert sentence in breaks(SMALL, today)


def test_additions_break_nothing() -> None:
    today: Any = copy.deepcopy(SMALL)
    today["operations"]["GET /things"] = _post(today)
    _post(today)["parameters"] |= {"query after?": "string"}
    _post(today)["answers"]["202"] = {}
    today["shapes"]["NewThing"] |= {"note?": "string", "colour?": "string | null"}
    today["shapes"]["Thing"] |= {"note": "string", "colour?": '"red" | "blue" | "green"', "size": "integer"}
    assert breaks(SMALL, today) == []


def test_a_shape_may_have_another_name() -> None:
    text = orjson.dumps(SMALL).replace(b'"Thing"', b'"Item"')
    assert breaks(SMALL, orjson.loads(text)) == []


def test_options_are_told_apart_at_the_top_only() -> None:
    assert options('[string | null] | {any} | "a"') == ["[string | null]", "{any}", '"a"']
