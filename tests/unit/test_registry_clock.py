"""Who is there, by what was heard and when: no NATS and no clock but the test's."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.contracts.agent_cards import RegisteredAgent, Registration
from shared.contracts.wire import encode
from shared.registry import BEAT_SECONDS, SILENT_SECONDS, Directory

STARTED = datetime(2026, 11, 22, 2, 14, tzinfo=UTC)


class Heard:
    """A directory with a clock that a test moves, and what it told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[dict[str, list[str]]] = []
        self.directory = Directory(
            lambda there: self.told.append({agent: list(urls) for agent, urls in there.items()}), lambda: self.now
        )

    def beat(self, instance: str, *agents: str) -> None:
        entries = [RegisteredAgent(agent, f"ws://{instance}:1", "") for agent in agents]
        self.directory.hear(instance, encode(Registration(instance, "1", STARTED, entries)))

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.directory.drop_silent()


def test_an_instance_is_told_of_when_it_comes_and_not_at_every_beat() -> None:
    heard = Heard()
    heard.beat("a", "triage")
    for _ in range(3):
        heard.later(BEAT_SECONDS)
        heard.beat("a", "triage")
    assert heard.told == [{"triage": ["ws://a:1"]}]


def test_two_instances_stand_beside_one_another_and_one_that_leaves_goes_at_once() -> None:
    heard = Heard()
    heard.beat("a", "triage", "threat_intel")
    heard.beat("b", "triage")
    heard.directory.hear("a", b"")
    assert heard.told[1:] == [
        {"triage": ["ws://a:1", "ws://b:1"], "threat_intel": ["ws://a:1"]},
        {"triage": ["ws://b:1"]},
    ]


def test_one_that_is_silent_is_gone_within_three_seconds() -> None:
    heard = Heard()
    heard.beat("a", "triage")
    heard.later(SILENT_SECONDS - 0.1)
    assert heard.directory.registrations
    heard.later(0.2)
    assert heard.directory.registrations == []
    assert heard.told[-1] == {}
    assert SILENT_SECONDS + 0.2 < 3.0


def test_while_nobody_can_be_heard_nobody_is_silent() -> None:
    heard = Heard()
    heard.beat("a", "triage")
    heard.now += 60
    heard.directory.pardon()
    heard.later(SILENT_SECONDS - 0.1)
    assert len(heard.directory.registrations) == 1
    heard.later(0.2)
    assert heard.directory.registrations == []


def test_what_is_no_entry_is_left_out() -> None:
    heard = Heard()
    heard.directory.hear("a", b"{")
    heard.directory.hear("b", b'{"instance": "b", "agents": [{"agent": "x", "url": "http://x", "card_digest": ""}]}')
    heard.directory.hear("nobody", b"")
    assert heard.told == []
