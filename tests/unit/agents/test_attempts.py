"""What the logins of some hours add up to, event by event, without a server."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agents.toolkit.attempts import attempts_in, tables
from services.agents.toolkit.fitting import fitted
from services.agents.toolkit.records import MAX_RESULT_BYTES
from shared.contracts.logs import LogEvent

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def login(
    seconds: float,
    user: str = "ada",
    source: str = "10.0.0.7",
    *,
    entered: bool = False,
    ecs: Mapping[str, Any] | None = None,
) -> LogEvent:
    """An attempt so many seconds after the start."""
    fields = {
        "event.category": ["authentication"],
        "event.type": ["start"],
        "event.action": "ssh_login",
        "event.outcome": "success" if entered else "failure",
        "user.name": user,
        "source.ip": source,
        "host.name": "web01",
        **(ecs or {}),
    }
    at = START + timedelta(seconds=seconds)
    return LogEvent(
        id=f"{seconds}-{user}-{source}", timestamp=at, ingested_at=at, source="s", dataset="linux.auth", message="",
        ecs={name: value for name, value in fields.items() if value is not None}, raw="", receipt="r",
    )  # fmt: skip


def of(*events: LogEvent) -> dict[str, Any]:
    return tables(attempts_in(events))


def test_a_pair_counts_the_worst_hour_and_the_login_after_it() -> None:
    late = login(9000, entered=True)
    [pair] = of(*(login(i * 40 + i % 7) for i in range(12)), login(8000), late)["pairs"]
    assert (pair["failed"], pair["worst_hour"], pair["entered"]) == (13, 12, 1)
    assert pair["after"] is None
    [pair] = of(*(login(i * 40 + i % 7) for i in range(12)), login(600, entered=True))["pairs"]
    assert pair["after"] == {
        "at": "2026-11-22T02:10:00.000Z", "log_id": "600-ada-10.0.0.7", "host": "web01", "failed_before": 12,
    }  # fmt: skip


def test_failures_before_an_earlier_login_are_not_those_before_the_next() -> None:
    events = [login(1), login(2), login(3, entered=True), login(4), login(5), login(6, entered=True)]
    assert of(*events)["pairs"][0]["after"] is None


@pytest.mark.parametrize(
    ("gaps", "even"),
    [
        ([60.0] * 12, True),
        ([60, 61, 59, 62, 60, 58, 61, 60, 60], True),
        ([5.0] * 12, False),
        ([10, 300, 25, 60] * 3, False),
    ],
    ids=["each minute", "nearly each minute", "as fast as can be", "by hand"],
)
def test_a_program_with_an_old_password_keeps_its_pace(gaps: list[float], even: bool) -> None:
    times = [sum(gaps[:place]) for place in range(len(gaps) + 1)]
    assert of(*(login(at) for at in times))["pairs"][0]["even"] is even


def test_a_source_counts_its_accounts_and_who_got_in_after_failing() -> None:
    tries = [login(i * 30, f"user{i}") for i in range(6)]
    [row] = of(*tries, login(400, "user3", entered=True), login(401, "other", entered=True))["sources"]
    assert (row["users"], row["users_hour"], row["failed"], row["tries"]) == (6, 6, 6, 1)
    assert row["got_in"] == ["user3"]


def test_second_factors_that_were_refused_are_counted_and_so_is_the_one_accepted() -> None:
    denied = {"event.category": ["iam"], "event.type": ["change"], "event.action": "user.mfa.okta_verify.deny_push"}
    events = [login(i * 20, ecs=denied) for i in range(4)]
    assert of(*events)["accounts"] == [
        {"user": "ada", "sources_hour": 1, "failed_hour": 4, "denied": 4, "accepted": False}
    ]
    assert of(*events, login(100, entered=True))["accounts"][0]["accepted"]


@pytest.mark.parametrize(
    "ecs",
    [
        {"user.name": "WS01$"},
        {"user.name": "ANONYMOUS LOGON"},
        {"winlog.logon.type": "5"},
        {"event.action": "sudo"},
        {"event.action": "kerberos-service-ticket"},
        {"event.code": "50076"},
        {"event.outcome": None},
        {"event.type": ["end"]},
        {"event.category": ["iam"]},
    ],
    ids=lambda ecs: "-".join(f"{name}={value}" for name, value in ecs.items()),
)
def test_what_is_no_attempt_at_a_password_is_not_counted(ecs: dict[str, Any]) -> None:
    assert attempts_in([login(1, ecs=ecs)]) == []


def test_a_login_that_several_logs_tell_of_counts_once() -> None:
    pam, audit = {"event.action": "pam_authentication"}, {"event.action": "authenticated"}
    tries = [login(1), login(1.1, ecs=audit), login(1.2, ecs=pam), login(9), login(9.1, ecs=audit)]
    found = of(*tries, login(12, entered=True), login(12.1, entered=True, ecs=audit))
    assert (found["failed"], found["entered"]) == (2, 1)
    assert len(attempts_in([login(3, "bob", ecs=pam)])) == 1


def test_a_password_asked_inside_a_session_opens_none() -> None:
    assert attempts_in([login(1, ecs={"process.name": "sudo", "event.action": "authenticated"})]) == []


def test_a_line_that_stands_for_many_counts_as_many() -> None:
    assert of(login(1, ecs={"system.auth.count": 5}), login(2))["failed"] == 6
    assert of(login(1, ecs={"system.auth.count": 10**9}))["failed"] == 1000


def test_a_journey_is_told_between_places_and_not_between_hosting_networks() -> None:
    home, away, hosted = "91.0.0.1", "118.0.0.1", "8.8.8.8"
    [journey] = of(login(0, source=home, entered=True), login(3600, source=away, entered=True))["journeys"]
    assert (journey["from"]["country"], journey["to"]["country"], journey["seconds"]) == ("DE", "JP", 3600)
    assert 7000 < journey["km"] < 9000
    assert of(login(0, source=home, entered=True), login(3600, source=hosted, entered=True))["journeys"] == []
    assert of(login(0, source=home, entered=True), login(3600, source="10.1.2.3", entered=True))["journeys"] == []


def test_coordinates_that_the_provider_tells_go_before_the_country() -> None:
    def at(north: float, east: float, seconds: float, source: str) -> LogEvent:
        place = "okta.client.geographicalContext.geolocation."
        return login(seconds, source=source, entered=True, ecs={place + "lat": north, place + "lon": east})

    [journey] = of(at(52.5, 13.4, 0, "91.0.0.1"), at(48.1, 11.6, 60, "91.0.0.2"))["journeys"]
    assert 250 < journey["km"] < 350  # Berlin to Munich is 504 km, less the two cities' own size


_NAMES = st.sampled_from(["ada", "bob", "carol"]) | st.text(min_size=1, max_size=120)
_ATTEMPTS = st.lists(
    st.tuples(st.integers(0, 20000), _NAMES, st.sampled_from(["10.0.0.7", "91.0.0.1", "118.0.0.1"]), st.booleans()),
    max_size=60,
)


@settings(deadline=None)
@given(_ATTEMPTS, st.randoms(use_true_random=False))
def test_the_order_in_which_events_are_read_changes_no_table(
    told: list[tuple[int, str, str, bool]], chance: random.Random
) -> None:
    events = [login(at, user, source, entered=entered) for at, user, source, entered in dict.fromkeys(told)]
    events = list({event.id: event for event in events}.values())
    shuffled = events[:]
    chance.shuffle(shuffled)
    assert of(*events) == of(*shuffled)


def test_names_of_any_length_crowd_nothing_out() -> None:
    long = [login(i, "\U0001f4a3" * 200 + str(i % 40), f"10.0.{i % 50}.1", entered=i % 3 == 0) for i in range(600)]
    found = of(*long)
    assert len(orjson.dumps(found)) < MAX_RESULT_BYTES
    assert found["pairs"]
    assert found["logins"]


def test_rows_are_kept_in_their_order_until_they_no_longer_fit() -> None:
    assert fitted(["aaaa", "bbbb", "c"], 14) == ["aaaa", "bbbb"]
    assert fitted(["x" * 100, "y"], 50) == []
