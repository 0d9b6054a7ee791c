"""Whatever is sent: no item raises, every result is bounded, and an event read again from its raw text is the same."""

import string
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.siem.event import Event
from services.siem.logs.parsers import FORMATS, Item, Rejected, parse_items, read_items
from services.siem.logs.parsers.interface import MAX_FIELDS, MAX_VALUE
from shared.errors import AuroraError
from tests.unit.parsers import (
    test_azure,
    test_cef,
    test_cisco_asa,
    test_cloudtrail,
    test_fortinet,
    test_kubernetes,
    test_okta,
    test_suricata,
    test_web_errors,
    test_zeek,
)
from tests.unit.parsers.parsing import RECEIVED

LINES = (
    "<38>Nov  2 08:19:44 web01 sshd[1234]: Failed password for invalid user admin from 192.0.2.9 port 4242 ssh2",
    "2026-11-22T09:00:00.5+01:00 web01 sudo: bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
    '<34>1 2026-11-02T22:14:15.003Z mx su 77 ID47 [ex@32473 iut="3" src="App"] failed',
    'node=a type=SYSCALL msg=audit(1604996384.965:9): arch=c000003e syscall=59 success=yes pid=5 exe="/bin/sh"',
    'node=a type=EXECVE msg=audit(1604996384.965:9): argc=3 a0="sh" a1="-c" a2=6563686F',
    "node=a type=SOCKADDR msg=audit(1604996384.965:9): saddr=0200115C7F0000010000000000000000\x1dSADDR={ lport=1 }",
    "type=USER_CMD msg=audit(1.000:2): pid=5 msg='cwd=\"/\" cmd=6C73202D6C terminal=pts/0 res=success'",
    '192.0.2.7 - frank [22/Nov/2026:01:59:30 +0100] "GET /a?id=1 HTTP/1.1" 200 862 "http://x/" "curl/8.0"',
    "10.0.0.1 7: Feb 17 13:40:03.673: %PARSER-5-CFGLOG_LOGGEDCMD: User:admin  logged command:no dot1x",
    test_cisco_asa.DENIED,
    test_cisco_asa.BUILT,
    test_fortinet.TRAFFIC,
    test_fortinet.CHANGE,
    test_web_errors.APACHE,
    test_web_errors.NGINX,
    test_cef.CEF,
    test_cef.HEADERS[1] + test_cef.LEEF1,
    test_cef.LEEF2,
    test_zeek.CONN,
    test_zeek.DNS,
    f"#path\tssl\n{test_zeek.HEADER.splitlines()[6]}\n{test_zeek.SSL}",
)
#: A whole object of each product; the drawn ones below are mixed of their keys and values.
OBJECTS: tuple[dict[str, Any], ...] = (
    test_cloudtrail.RECORD, test_azure.HUB, test_azure.REST, test_azure.TABLE, test_azure.AUDIT, test_azure.SIGN_IN,
    test_okta.ENTRY, test_kubernetes.ENTRY, test_suricata.ALERT, test_suricata.DNS, test_suricata.HTTP,
    {"ts": 1795345200.5, "uid": "CHhAvVGS1DHFjwGM9", "_path": "http", "method": "GET", "uri": "/", "host": "h"},
)  # fmt: skip
KEYS = st.sampled_from((
    "Event", "System", "EventData", "UserData", "Data", "EventID", "Channel", "Provider", "TimeCreated",
    "Computer", "#attributes", "#text", "@Name", "Name", "winlog", "event_data", "event_id", "channel",
    "Hashes", "Image", "CommandLine", "UtcTime", "EventType", "TargetObject", "Keywords", "Level", "Message",
    "@timestamp", "time", "message", "log", "MESSAGE", "SYSLOG_IDENTIFIER", "PRIORITY", "_PID", "event",
    "category", "type", "dataset", "module", "process", "executable", "host", "name", "os", "source", "ip",
    "pid", "src_ip", "auditd", "serial", "argc", "a0", "NewProcessId", "QueryResults", "User", "RenderingInfo",
    "SourceName", "winlog.event_id", "__REALTIME_TIMESTAMP",
))  # fmt: skip
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        [1, 12, 400, 4688, "Security", "Microsoft-Windows-Sysmon/Operational", "auditd", "process", "-", *LINES]
    ),
    st.sampled_from(
        ["2026-04-20 10:00:35.640", "2026-04-20T10:00:35Z", "DeleteKey", "0x8010000000000000", "process", "start"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=5),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(KEYS | st.text(max_size=4), VALUES, max_size=8)


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """A product's object with some of its values replaced, so that it is still taken for what it isn't quite."""
    known: dict[str, Any] = draw(st.sampled_from(OBJECTS))
    return known | draw(st.dictionaries(st.sampled_from(sorted(known)), VALUES, max_size=4))


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A real line with a piece cut out or something else put in."""
    line = draw(st.sampled_from(LINES))
    start = draw(st.integers(0, len(line)))
    end = draw(st.integers(start, min(len(line), start + 12)))
    return line[:start] + draw(st.text(string.printable + "\0\x1d\udc80é", max_size=8)) + line[end:]


ITEMS: st.SearchStrategy[Item] = st.one_of(
    damaged(), damaged(), st.text(max_size=40), st.binary(max_size=40), DOCUMENTS, changed(), st.sampled_from(LINES)
)


def parse(items: list[Any], form: str | None) -> list[Event | Rejected]:
    return parse_items(items, source="any", received_at=RECEIVED, format=form)


def check_fields(fields: dict[str, Any]) -> None:
    assert len(fields) <= MAX_FIELDS
    orjson.dumps(fields)
    for value in fields.values():
        for scalar in value if isinstance(value, list) else [value]:
            assert isinstance(scalar, str | int | float | bool) or scalar is None
            assert not isinstance(scalar, str) or (len(scalar) <= MAX_VALUE and "\0" not in scalar)


@given(st.lists(ITEMS, min_size=1, max_size=6), st.none() | st.sampled_from(FORMATS))
@settings(max_examples=400, deadline=None)
def test_every_item_gives_one_sound_result_that_its_raw_text_gives_again(items: list[Any], form: str | None) -> None:
    results = parse(items, form)
    assert len(results) == len(items)
    taken = [result for result in results if isinstance(result, Event)]
    for event in taken:
        assert event.timestamp.utcoffset() is not None
        assert event.views
        assert "\n" not in event.message
        assert "@timestamp" not in event.ecs
        assert "message" not in event.ecs
        event.raw.encode()
        check_fields(event.ecs)
        for view in event.views:
            check_fields(view.fields)
    assert parse([event.raw for event in taken], form) == taken


@given(
    st.binary(max_size=200),
    st.sampled_from(["application/json", "application/x-ndjson", "text/plain", "application/x-evtx"]),
)
@settings(max_examples=200, deadline=None)
def test_a_body_is_read_or_refused_in_one_way(body: bytes, content_type: str) -> None:
    try:
        items = read_items(body, content_type)
    except AuroraError:
        return
    for index, item in enumerate(items):
        assert isinstance(item, bytes | dict) or item.index == index


@pytest.mark.parametrize(
    "hostile",
    [
        "a" * 250_000,
        "type=EXECVE msg=audit(1.0:1): " + "a" * 250_000,
        "type=EXECVE msg=audit(1.0:1): " + "msg='" * 50_000,
        "type=EXECVE msg=audit(1.0:1): " + "a={" * 80_000,
        "Nov  2 08:19:44 h sudo: a : " + "TTY= ; PWD= ; USER= ; ENV= ; " * 8_000,
        "Nov  2 08:19:44 h sshd[1]: error: PAM: " + "a for " * 1_300,
        "Nov  2 08:19:44 h pkexec[1]: x: " + "[USER=" * 1_300,
        "<34>1 - h p - - [" + "a" * 250_000,
        "1: %A-5-BC: " + "User:" * 50_000,
        "127.0.0.1 - " + "x " * 120_000,
        '127.0.0.1 - - [22/Nov/2026:01:59:30 +0000] "' + '\\"' * 120_000,
        "[" * 250_000,
        "node=" + "x " * 120_000,
        "CEF:0|a|b|1|2|c|3|" + "a= " * 80_000,
        "CEF:0|" + "\\|" * 120_000,
        "LEEF:2.0|a|b|1|2|" + "a=b\t" * 60_000,
        "%ASA-4-106023: Deny tcp src " + "outside:1.1.1.1 ( " * 12_000,
        "%ASA-6-302013: Built inbound TCP connection 1 for " + "a:" * 100_000,
        "%ASA-5-111008: " + "User " * 50_000,
        "date=2026-11-22 time=11:00:00 type=x devid=1 " + 'a="\\' * 60_000,
        "date=2026-11-22 time=11:00:00 " * 8_000,
        "[Sun Nov 22 10:00:00 2026] [error] [client " + "a" * 250_000,
        "2026/11/22 10:00:00 [error] 1#1: " + ', client: "' * 22_000,
        "1795345200.5\t" * 19_000,
        "#path\tx #fields\t" + "a\t" * 120_000,
    ],
    ids=range(25),
)
@pytest.mark.timeout(20)
def test_a_hostile_line_costs_no_more_than_its_length(hostile: str) -> None:
    assert isinstance(parse([hostile], None)[0], Event)
