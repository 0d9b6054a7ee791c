"""Which parser an item goes to, and what is turned away."""

from datetime import UTC, datetime

import pytest

from services.siem.logs.parsers import FORMATS, Rejected, parse_items
from services.siem.logs.parsers.interface import MAX_ITEM
from shared.errors import AuroraError
from tests.unit.parsers.parsing import RECEIVED, event, events, rejection


def test_a_line_of_no_format_is_kept_as_text() -> None:
    found = event(b"something happened")
    assert (found.dataset, found.message, found.raw) == ("generic.text",) + ("something happened",) * 2
    assert found.timestamp == RECEIVED
    assert found.views[0].fields == {"message": "something happened"}


def test_a_text_line_may_start_with_its_time() -> None:
    assert event("2026-11-02 10:00:00,123 INFO x").timestamp == datetime(2026, 11, 2, 10, tzinfo=UTC)


def test_bytes_that_are_no_utf8_are_shown_escaped() -> None:
    assert event(b"caf\xe9").message == "caf\\xe9"


def test_a_line_end_is_not_part_of_the_event() -> None:
    assert event(b"hello\r\n").raw == "hello"


def test_a_json_line_is_an_object_and_kept_as_received() -> None:
    found = event(b'{"b": 1,  "a": 2}')
    assert found.dataset == "generic.json"
    assert found.raw == '{"b": 1,  "a": 2}'


def test_an_object_is_kept_as_compact_json_in_its_own_order() -> None:
    assert event({"b": 1, "a": [None, 2.5]}).raw == '{"b":1,"a":[null,2.5]}'


def test_a_line_that_only_looks_like_json_is_text() -> None:
    assert event("{not json}").dataset == "generic.text"
    assert event('{"a":' + "[" * 300 + "]" * 300 + "}").dataset == "generic.text"


def test_json_inside_a_syslog_line_is_unwrapped() -> None:
    found = event('Nov  2 08:19:44 web01 app[1]: {"msg": "hello", "src_ip": "192.0.2.7"}')
    assert found.ecs["source.ip"] == "192.0.2.7"
    assert found.ecs["host.name"] == "web01"
    assert found.ecs["process.name"] == "app"
    assert found.timestamp == datetime(2026, 11, 2, 8, 19, 44, tzinfo=UTC)


def test_an_audit_record_inside_a_syslog_line_is_unwrapped() -> None:
    found = event('Nov  2 08:19:44 web01 audispd: node=web01 type=EXECVE msg=audit(1.5:7): argc=1 a0="id"')
    assert found.ecs["process.command_line"] == "id"


def test_a_cisco_message_is_known_by_its_code() -> None:
    found = event(
        "172.16.5.10 6705: Feb 17 13:40:03.673: %PARSER-5-CFGLOG_LOGGEDCMD: User:admin  logged command:no dot1x"
    )
    assert found.timestamp == datetime(2026, 2, 17, 13, 40, 3, tzinfo=UTC)
    assert found.ecs["user.name"] == "admin"
    assert found.ecs["process.command_line"] == "no dot1x"
    assert found.views[0].product == "cisco"
    assert "aaa" in found.views[0].services


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b"", "empty"),
        ("  \n", "empty"),
        ({}, "empty"),
        (b"x" * (MAX_ITEM + 1), "larger than 256 KiB"),
        ("é" * MAX_ITEM, "larger than 256 KiB"),
        ({"a": "x" * MAX_ITEM}, "larger than 256 KiB"),
    ],
)
def test_what_holds_nothing_or_too_much_is_rejected(item: bytes | str, reason: str) -> None:
    assert rejection(item) == reason


def test_an_object_nested_too_deeply_is_rejected() -> None:
    document: dict[str, object] = {}
    for _ in range(300):
        document = {"d": document}
    assert rejection({"a": document}) == "nested too deeply"


def test_results_keep_the_order_and_number_of_the_items() -> None:
    results = parse_items([b"a", b"", Rejected(0, "not JSON"), {"b": 1}], source="s", received_at=RECEIVED)
    assert [each if isinstance(each, Rejected) else each.dataset for each in results] == [
        "generic.text",
        Rejected(1, "empty"),
        Rejected(2, "not JSON"),
        "generic.json",
    ]


def test_an_unknown_format_is_a_validation_error() -> None:
    with pytest.raises(AuroraError) as refused:
        parse_items([b"x"], source="s", received_at=RECEIVED, format="morse")
    assert refused.value.detail[0]["path"] == "format"


@pytest.mark.parametrize("form", FORMATS)
def test_what_does_not_fit_the_format_asked_for_is_kept_and_marked(form: str) -> None:
    for found in events(b"no format at all", {"x": 1}, form=form):
        fits = form == "text" or (form == "json" and found.raw.startswith("{"))
        assert found.ecs.get("event.kind") == (None if fits else "pipeline_error")


def test_the_format_asked_for_wins_over_recognition() -> None:
    assert event("Nov  2 08:19:44 web01 sshd[1]: hello", form="text").dataset == "generic.text"
    assert event({"EventID": 1, "Channel": "Security"}, form="json").dataset == "generic.json"
    shipped = event({"message": 'type=EXECVE msg=audit(1.5:7): argc=1 a0="id"'}, form="auditd")
    assert shipped.dataset == "auditd"
    assert "event.kind" not in shipped.ecs
