"""The Sigma specification's modifiers (appendix 2.1) and correlation types: a case for each, and a row in the docs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sigma.correlations import SigmaCorrelationType
from sigma.modifiers import modifier_mapping

from services.siem.correlations.domain import complete, group_of, settles, stretch_end, values_of, windows
from services.siem.correlations.measures import Entry
from services.siem.detections.engine import compile_rule
from services.siem.match import Match
from tests.unit.engine.rule_kit import compiled, matches

START = datetime(2026, 6, 14, 12, tzinfo=UTC)
DOCS = (Path(__file__).parents[2] / "docs" / "sigma.md").read_text()

#: modifier -> what stands in a rule, values of the field that match, values that don't; None is an event without it.
MODIFIERS: dict[str, tuple[str, list[Any], list[Any]]] = {
    "all": ("F|contains|all: ['-a', '-b']", ["x -b -a"], ["-a", None]),
    "startswith": ("F|startswith: adm", ["Admin"], ["sysadm", None]),
    "endswith": ("F|endswith: '\\cmd.exe'", ["C:\\CMD.EXE"], ["C:\\cmd.exe.bak", None]),
    "contains": ("F|contains: ' -enc '", ["p -ENC x"], ["-enc", None]),
    "exists": ("F|exists: true", ["", "x"], [None]),
    "cased": ("F|cased: Cmd", ["Cmd"], ["cmd", None]),
    "neq": ("F|neq: 1", ["2", 2], ["1", 1]),
    "windash": ("F|windash|contains: ' -f '", [f"x {dash}f y" for dash in "-/–—―"], ["x +f y", None]),
    "re": ("F|re: '^[a-c]{2,3}(x|y)$'", ["abx"], ["ABX", "abz", None]),
    "i": ("F|re|i: '^abc$'", ["ABC"], ["xabc", None]),
    "m": ("F|re|m: '^b$'", ["a\nb\nc"], ["ab", None]),
    "s": ("F|re|s: 'a.b'", ["a\nb"], ["ab", None]),
    "base64": ("F|base64: foobar", ["Zm9vYmFy"], ["foobar", None]),
    "base64offset": (
        "F|base64offset|contains: foobar",
        ["Zm9vYmFy", "xxZvb2Jhcxx", "xmb29iYXx"],
        ["foobar", None],
    ),
    "utf16le": ("F|utf16le|base64: cmd", ["YwBtAGQA"], ["Y21k", None]),
    "utf16be": ("F|utf16be|base64: cmd", ["AGMAbQBk"], ["Y21k", None]),
    "utf16": ("F|utf16|base64: cmd", ["//5jAG0AZAA="], ["YwBtAGQA", None]),
    "wide": ("F|wide|base64: cmd", ["YwBtAGQA"], ["Y21k", None]),
    "lt": ("F|lt: 10", [9, "9.5", -1], [10, "x", None]),
    "lte": ("F|lte: 10", [10, "10"], [11, None]),
    "gt": ("F|gt: 10", [11, "11"], [10, None]),
    "gte": ("F|gte: 10", [10, "10"], [9, None]),
    "minute": ("F|minute: 59", ["2026-01-02T23:59:00Z"], ["2026-01-02T23:58:00Z", None]),
    "hour": ("F|hour: 23", ["2026-01-02T23:59:00Z"], ["2026-01-02T22:59:00Z", None]),
    "day": ("F|day: 2", ["2026-01-02T23:59:00Z"], ["2026-01-03T23:59:00Z", None]),
    "week": ("F|week: 1", ["2026-01-02T23:59:00Z"], ["2026-01-12T23:59:00Z", None]),
    "month": ("F|month: 1", ["2026-01-02T23:59:00Z"], ["2026-02-02T23:59:00Z", None]),
    "year": ("F|year: 2026", ["2026-01-02T23:59:00Z"], ["2025-01-02T23:59:00Z", None]),
    "cidr": ("F|cidr: 10.0.0.0/8", ["10.255.0.1"], ["11.0.0.1", "10", None]),
    "fieldref": ("F|fieldref: Other", ["other value"], ["another value", None]),
}
#: Named by the specification, and held to it elsewhere: its values are kept outside of rules.
ELSEWHERE = {"expand"}
#: Other names that pySigma has for the same.
SYNONYMS = {"ignorecase": "i", "multiline": "m", "dotall": "s"}


@pytest.mark.parametrize("modifier", MODIFIERS)
def test_a_modifier_matches_what_the_specification_says(modifier: str) -> None:
    item, right, wrong = MODIFIERS[modifier]
    detection = f"sel:\n  {item}\ncondition: sel"
    for value in (*right, *wrong):
        fields = {"Other": "Other Value"} if value is None else {"F": value, "Other": "Other Value"}
        assert matches(detection, fields) is (value in right), value


@pytest.mark.parametrize("modifier", [*MODIFIERS, *ELSEWHERE])
def test_a_modifier_has_its_row_in_the_docs(modifier: str) -> None:
    assert re.search(rf"^\|[^|]*`{modifier}`[^|]*\|", DOCS, re.MULTILINE)


def test_every_modifier_of_the_parser_is_one_of_the_specification() -> None:
    assert set(modifier_mapping) == MODIFIERS.keys() | ELSEWHERE | SYNONYMS.keys()
    for synonym, name in SYNONYMS.items():
        one, other = (compiled(f"sel:\n  F|re|{written}: 'a.b'\ncondition: sel") for written in (synonym, name))
        assert one.condition == other.condition


def correlated(text: str, *events: tuple[float, str, dict[str, Any]]) -> dict[tuple[str, ...], bool]:
    """Whether a correlation fires, by group, when all of (second, rule, fields) have come and nothing else will."""
    rule = compile_rule(f"title: t\ncorrelation:\n{text}")
    assert rule.problem is None
    of = rule.correlation
    assert of is not None
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for number, (second, name, fields) in enumerate(events):
        moment = START + timedelta(seconds=second)
        match = Match(
            rule_id=name,
            log_id=str(number),
            timestamp=moment,
            ingested_at=moment,
            source="",
            message="",
            ecs={},
            fields=fields,
        )
        group, values = group_of(of, [name], match), values_of(of, [name], match)
        if group is not None and values is not None:
            groups.setdefault(group, []).append(Entry(name, str(number), moment, values))
    if settles(of):
        return {key: bool(complete(of, found, stretch_end(of, START)).windows) for key, found in groups.items()}
    return {key: bool(windows(of, found, START).windows) for key, found in groups.items()}


def _fails(count: int, host: str, **fields: Any) -> list[tuple[float, str, dict[str, Any]]]:
    return [(float(second), "failed", {"ComputerName": host, **fields}) for second in range(count)]


def test_event_count_as_many_failed_logins_on_a_host_in_an_hour() -> None:
    text = (
        "  type: event_count\n  rules: [failed]\n  group-by: [ComputerName]\n  timespan: 1h\n  condition: {gte: 100}\n"
    )
    assert correlated(text, *_fails(100, "DC1"), *_fails(99, "DC2")) == {("DC1",): True, ("DC2",): False}


def test_event_count_in_a_range_as_101_to_200() -> None:
    text = (
        "  type: event_count\n  rules: [failed]\n  group-by: [ComputerName]\n  timespan: 1h\n"
        "  condition: {gt: 100, lte: 200}\n"
    )
    found = correlated(text, *_fails(101, "a"), *_fails(200, "b"), *_fails(100, "c"), *_fails(201, "d"))
    assert found == {("a",): True, ("b",): True, ("c",): False, ("d",): False}


def test_value_count_as_failed_logons_of_many_users_from_a_workstation() -> None:
    text = (
        "  type: value_count\n  rules: [failed]\n  group-by: [ComputerName, WorkstationName]\n  timespan: 1d\n"
        "  condition: {field: User, gte: 3}\n"
    )
    spray = [(float(n), "failed", {"ComputerName": "h", "WorkstationName": "w", "User": f"u{n}"}) for n in range(3)]
    alone = [(float(n), "failed", {"ComputerName": "h", "WorkstationName": "x", "User": "one"}) for n in range(5)]
    assert correlated(text, *spray, *alone) == {("h", "w"): True, ("h", "x"): False}


def test_temporal_as_three_reconnaissance_commands_in_any_order_over_a_boundary_of_the_clock() -> None:
    text = (
        "  type: temporal\n  rules: [recon_cmd_a, recon_cmd_b, recon_cmd_c]\n  group-by: [ComputerName, User]\n"
        "  timespan: 5m\n"
    )
    who, other = {"ComputerName": "h", "User": "u"}, {"ComputerName": "h", "User": "v"}
    # 12:04 to 12:06, so that a frame with fixed boundaries would miss it.
    three = [(240.0, "recon_cmd_c", who), (300.0, "recon_cmd_a", who), (360.0, "recon_cmd_b", who)]
    two = [(240.0, "recon_cmd_c", other), (250.0, "recon_cmd_a", other), (600.0, "recon_cmd_b", other)]
    assert correlated(text, *three, *two) == {("h", "u"): True, ("h", "v"): False}


def test_temporal_ordered_as_failed_logins_followed_by_a_successful_one() -> None:
    text = (
        "  type: temporal_ordered\n  rules: [many_failed_logins, successful_login]\n  group-by: [User]\n"
        "  timespan: 1h\n"
    )
    right = [(0.0, "many_failed_logins", {"User": "a"}), (60.0, "successful_login", {"User": "a"})]
    wrong = [(0.0, "successful_login", {"User": "b"}), (60.0, "many_failed_logins", {"User": "b"})]
    assert correlated(text, *right, *wrong) == {("a",): True, ("b",): False}


def test_aliases_as_the_same_addresses_in_different_fields() -> None:
    text = (
        "  type: temporal\n  rules: [internal_error, new_network_connection]\n  group-by: [internal_ip, remote_ip]\n"
        "  timespan: 10s\n  aliases:\n"
        "    internal_ip: {internal_error: destination.ip, new_network_connection: source.ip}\n"
        "    remote_ip: {internal_error: source.ip, new_network_connection: destination.ip}\n"
    )
    error = (0.0, "internal_error", {"destination.ip": "10.0.0.1", "source.ip": "192.0.2.1"})
    back = (5.0, "new_network_connection", {"source.ip": "10.0.0.1", "destination.ip": "192.0.2.1"})
    astray = (5.0, "new_network_connection", {"source.ip": "192.0.2.1", "destination.ip": "10.0.0.1"})
    assert correlated(text, error, back) == {("10.0.0.1", "192.0.2.1"): True}
    assert not any(correlated(text, error, astray).values())


@pytest.mark.parametrize(
    ("kind", "condition", "right", "wrong"),
    [
        ("value_sum", "{field: bytes, gte: 1000}", [400, 600], [400, 599]),
        ("value_avg", "{field: bytes, gt: 500}", [400, 602], [400, 600]),
        ("value_percentile", "{field: bytes, percentile: 90, gt: 100}", [1, 1, 1, 1, 999], [100] * 9),
        ("value_median", "{field: bytes, gte: 10}", [1, 10, 11], [1, 9, 1000]),
    ],
)
def test_a_computed_value_of_a_group_is_compared(kind: str, condition: str, right: list[int], wrong: list[int]) -> None:
    text = f"  type: {kind}\n  rules: [sent]\n  group-by: [host]\n  timespan: 1h\n  condition: {condition}\n"
    of = [(float(n), "sent", {"host": "r", "bytes": size}) for n, size in enumerate(right)]
    beside = [(float(n), "sent", {"host": "w", "bytes": size}) for n, size in enumerate(wrong)]
    assert correlated(text, *of, *beside) == {("r",): True, ("w",): False}


@pytest.mark.parametrize("kind", [kind.name.lower() for kind in SigmaCorrelationType])
def test_a_correlation_type_has_its_row_in_the_docs(kind: str) -> None:
    assert re.search(rf"^\| [^|]*\b{kind}\b[^|]*\|", DOCS, re.MULTILINE)
