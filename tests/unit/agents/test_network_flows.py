"""Beacons, scans and uploads among connections: what has a rhythm, what reaches wide, what is too much."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agents.toolkit.network.beacons import MIN_SPAN_SECONDS, beacons_in, rhythm_of
from services.agents.toolkit.network.flows import flow_of
from services.agents.toolkit.network.scans import MIN_HOSTS, MIN_PORTS, scans_in
from services.agents.toolkit.network.volumes import DAY_SECONDS, MIN_BYTES, most_sent, uploads_in
from tests.unit.agents.network_rows import browsing, every, flow, flows_at, logged

MIB = 1024**2


@pytest.mark.parametrize("interval", [5.0, 30.0, 60.0, 3600.0])
def test_check_ins_at_one_interval_are_steady(interval: float) -> None:
    rhythm = rhythm_of(every(interval, 60))
    assert rhythm is not None
    assert (rhythm.regularity, rhythm.interval, rhythm.mad) == ("steady", interval, 0.0)


@pytest.mark.parametrize("jitter", [0.1, 0.3, 0.5])
def test_check_ins_with_the_jitter_of_a_framework_are_regular(jitter: float) -> None:
    for seed in range(20):
        rhythm = rhythm_of(every(60.0, 60, jitter=jitter, seed=seed))
        assert rhythm is not None
        assert rhythm.regularity in ("steady", "jittered")


def test_what_has_no_rhythm_is_irregular_however_long_it_goes_on() -> None:
    for seed in range(200):
        rhythm = rhythm_of(browsing(30.0, 30 + seed, seed))
        assert rhythm is not None
        assert rhythm.regularity == "irregular", seed


def test_a_download_with_its_many_requests_is_no_beacon() -> None:
    assert beacons_in(flows_at(every(0.5, 400))) == []
    rhythm = rhythm_of(every(5.0, 20))
    assert rhythm is not None
    assert rhythm.span < MIN_SPAN_SECONDS
    assert rhythm.regularity == "irregular"


def test_check_ins_that_were_missed_do_not_end_a_rhythm() -> None:
    times = [moment for place, moment in enumerate(every(60.0, 80)) if place % 9 != 4]
    rhythm = rhythm_of(times)
    assert rhythm is not None
    assert rhythm.regularity == "steady"


def test_several_connections_of_one_check_in_count_once() -> None:
    times = every(60.0, 20)
    rhythm = rhythm_of([*times, *(moment + 0.4 for moment in times), *(moment + 0.9 for moment in times)])
    assert rhythm is not None
    assert rhythm.checkins == len(times)
    assert rhythm.regularity == "steady"


@given(st.lists(st.floats(min_value=0, max_value=1e9), max_size=60))
@settings(max_examples=150, deadline=None)
def test_the_order_of_the_moments_is_nothing_to_their_rhythm(times: list[float]) -> None:
    shuffled = list(times)
    random.Random(0).shuffle(shuffled)
    assert rhythm_of(shuffled) == rhythm_of(times)


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=3, max_size=60), st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_shares_are_shares_and_later_is_the_same(times: list[float], later: int) -> None:
    rhythm = rhythm_of(times)
    if rhythm is None:
        return
    assert 0 <= rhythm.near <= rhythm.wide <= 1
    assert rhythm.interval > 0
    moved = rhythm_of([moment + later for moment in times])
    assert moved is not None
    assert abs(moved.checkins - rhythm.checkins) <= len(times)


def test_one_connection_in_two_logs_is_one_beacon_by_its_more_regular_log() -> None:
    times = every(60.0, 40)
    rough = [moment + random.Random(7).random() * 9 for moment in times]
    found = beacons_in([*flows_at(times, log="zeek.conn/"), *flows_at(rough, log="cisco.asa/connection-ended")])
    assert [(beacon.log, beacon.destination) for beacon in found] == [("zeek.conn/", "203.0.113.9")]


def test_a_beacon_among_browsing_is_found_with_what_it_sent() -> None:
    noise = [flow(moment, destination=f"198.51.100.{place % 40}") for place, moment in enumerate(browsing(9, 500, 3))]
    found = beacons_in([*noise, *flows_at(every(60.0, 40), sent=512, name="cdn.example", process="C:\\x\\a.exe")])
    assert [(beacon.destination, beacon.same_bytes) for beacon in found] == [("203.0.113.9", 1.0)]
    assert found[0].names == ("cdn.example",)


def test_two_programmes_with_one_destination_have_each_their_rhythm() -> None:
    noisy = flows_at(browsing(20, 200, 5), process="C:\\Windows\\System32\\svchost.exe")
    (found,) = beacons_in([*noisy, *flows_at(every(60.0, 40), process="C:\\x\\a.exe")])
    assert found.processes == ("C:\\x\\a.exe",)


def test_many_ports_of_one_host_are_a_port_scan() -> None:
    tried = [flow(1000.0 + port * 0.1, port=port, failed=True) for port in range(1, 120)]
    (scan,) = scans_in(tried)
    assert (scan.kind, scan.target, scan.tried, scan.failed) == ("ports", "203.0.113.9", 119, 1.0)


def test_one_port_of_many_hosts_is_a_sweep() -> None:
    tried = [flow(1000.0 + host, destination=f"10.0.1.{host}", port=445, failed=host % 3 > 0) for host in range(60)]
    (scan,) = scans_in(tried)
    assert (scan.kind, scan.target, scan.tried) == ("hosts", "445", 60)
    assert 0.6 < scan.failed < 0.7


def test_the_same_reach_over_a_day_is_no_scan() -> None:
    slow = [flow(1000.0 + host * 1200, destination=f"10.0.1.{host}", port=445) for host in range(60)]
    assert scans_in(slow) == []


def test_a_server_that_answers_many_ports_is_no_scanner() -> None:
    answers = [flow(1000.0 + place * 0.1, port=40000 + place) for place in range(200)]
    assert scans_in(answers) == []


@given(st.integers(0, MIN_PORTS - 1))
def test_fewer_ports_than_the_threshold_are_never_a_scan(ports: int) -> None:
    assert MIN_HOSTS > 1
    assert scans_in([flow(1000.0, port=port + 1, failed=True) for port in range(ports)]) == []


END = 2_000_000.0


def sent(days_ago: float, mebibytes: float, **changes: object) -> object:
    return flow(END - days_ago * DAY_SECONDS - 1, sent=int(mebibytes * MIB), received=1000, **changes)


def test_much_more_than_ever_before_is_an_upload() -> None:
    flows = [sent(0, 900), *(sent(day, 20) for day in range(1, 9))]
    (upload,) = uploads_in(flows, END)  # type: ignore[arg-type]
    assert (upload.sent, upload.most_before, upload.days_before) == (900 * MIB, 20 * MIB, 8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [sent(0, 900), sent(3, 400)],
        lambda: [sent(0, MIN_BYTES / MIB - 1)],
        lambda: [flow(END - 5, sent=200 * MIB, received=900 * MIB)],
        lambda: [flow(END - 5, received=900 * MIB)],
    ],
    ids=["as on other days", "little", "a download", "not counted"],
)
def test_ordinary_transfers_are_no_uploads(make: Callable[[], list[object]]) -> None:
    assert uploads_in(make(), END) == []  # type: ignore[arg-type]


def test_a_transfer_that_two_logs_tell_of_counts_once() -> None:
    flows = [sent(0, 90, log="zeek.conn/"), sent(0, 88, log="suricata.eve/flow")]
    assert [upload.sent for upload in uploads_in(flows, END)] == [90 * MIB]  # type: ignore[arg-type]


def test_the_most_that_was_sent_is_of_one_destination_in_one_log() -> None:
    flows = [sent(0, 40), sent(0, 30), sent(0, 60, log="suricata.eve/flow"), sent(0, 65, destination="203.0.113.10")]
    assert most_sent(flows) == 70 * MIB  # type: ignore[arg-type]
    assert most_sent([]) == 0


@pytest.mark.parametrize(
    ("fields", "failed"),
    [
        ({"event.type": ["connection", "denied"]}, True),
        ({"destination.packets": 0, "source.packets": 1}, True),
        ({"network.transport": "tcp", "source.bytes": 0, "destination.bytes": 0}, True),
        ({"network.transport": "udp", "source.bytes": 0, "destination.bytes": 0}, False),
        ({"source.bytes": 10, "destination.bytes": 20}, False),
        ({}, False),
    ],
    ids=["denied", "no answer", "refused", "empty datagrams", "answered", "not said"],
)
def test_an_event_says_whether_its_connection_failed(fields: dict[str, object], failed: bool) -> None:
    event = logged({"source.ip": "10.0.0.5", "destination.ip": "10.0.0.6", "destination.port": "445", **fields})
    found = flow_of(event)
    assert found is not None
    assert (found.failed, found.port) == (failed, 445)


@pytest.mark.parametrize("ecs", [{}, {"source.ip": "10.0.0.5"}, {"destination.ip": ["10.0.0.6"]}], ids=str)
def test_an_event_without_two_addresses_is_no_connection(ecs: dict[str, object]) -> None:
    assert flow_of(logged(ecs)) is None
