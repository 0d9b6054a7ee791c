"""The Agent Card has what A2A 1.0 requires, and says what the agent really serves; where others are told it listens."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.agents.toolkit.card import card_of, digest
from services.agents.toolkit.place import place_of
from shared.contracts.agents import ANALYZE_THREAT, DESCRIBE
from shared.contracts.wire import encode

URL = "ws://192.0.2.7:5101"
#: The fields that a2a.proto of A2A 1.0 marks REQUIRED, by message, as ProtoJSON names them; and how each is reached.
REQUIRED = {
    "AgentCard": [
        "name",
        "description",
        "supportedInterfaces",
        "version",
        "capabilities",
        "defaultInputModes",
        "defaultOutputModes",
        "skills",
    ],
    "AgentInterface": ["url", "protocolBinding", "protocolVersion"],
    "AgentSkill": ["id", "name", "description", "tags"],
    "HTTPAuthSecurityScheme": ["scheme"],
}


@pytest.fixture(name="card")
def _card() -> dict[str, Any]:
    card = card_of("triage", "Looks first.", [ANALYZE_THREAT, DESCRIBE], URL)
    return dict(msgspec.json.decode(encode(card)))


def lacking(message: str, found: dict[str, Any]) -> list[str]:
    """Required fields that are missing or empty: ProtoJSON takes an empty one for none."""
    return [name for name in REQUIRED[message] if not found.get(name)]


def test_a_card_has_every_field_that_a2a_requires(card: dict[str, Any]) -> None:
    assert lacking("AgentCard", card) == []
    assert [lacking("AgentInterface", interface) for interface in card["supportedInterfaces"]] == [[]]
    assert [lacking("AgentSkill", skill) for skill in card["skills"]] == [[], []]
    (scheme,) = card["securitySchemes"].values()
    assert lacking("HTTPAuthSecurityScheme", scheme["httpAuthSecurityScheme"]) == []
    assert [set(needed["schemes"]) for needed in card["securityRequirements"]] == [set(card["securitySchemes"])]


def test_a_card_declares_a_binding_of_our_own_by_its_uri(card: dict[str, Any]) -> None:
    (interface,) = card["supportedInterfaces"]
    assert interface["url"] == URL
    assert interface["protocolVersion"] == "1.0"
    assert ":" in interface["protocolBinding"]
    assert interface["protocolBinding"] not in {"JSONRPC", "GRPC", "HTTP+JSON"}


def test_the_skills_are_the_methods_that_are_served(card: dict[str, Any]) -> None:
    assert [skill["id"] for skill in card["skills"]] == ["analyze_threat", "describe"]
    assert card["skills"][0]["description"] == ANALYZE_THREAT.summary


def test_a_digest_changes_with_the_card_alone() -> None:
    first, same = (card_of("triage", "Looks first.", [DESCRIBE], URL) for _ in range(2))
    moved = card_of("triage", "Looks first.", [DESCRIBE], "ws://192.0.2.8:5101")
    assert digest(first) == digest(same) != digest(moved)
    assert len(digest(first)) == 64


@pytest.mark.parametrize(
    ("url", "told", "expected"),
    [
        ("ws://127.0.0.1:0", None, ("127.0.0.1", 0, "ws://127.0.0.1:7")),
        ("ws://0.0.0.0:5101", "10.0.0.4", ("0.0.0.0", 5101, "ws://10.0.0.4:7")),
        ("ws://[::1]:5101", None, ("::1", 5101, "ws://[::1]:7")),
    ],
)
def test_others_are_told_an_address_that_they_can_call(
    url: str, told: str | None, expected: tuple[str, int, str]
) -> None:
    place = place_of(url, told)
    assert (place.host, place.port, place.url(7)) == expected


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ws://127.0.0.1", "ws://:1", "ws://0.0.0.0:1", "ws://[::]:1"])
def test_an_address_that_nobody_can_call_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="ws://"):
        place_of(url, None)
