"""Log intake and search over HTTP, on a real siem with its real stores."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio
from msgspec import UNSET

from services.siem.logs.preparation import PART_ITEMS
from shared.clock import new_id
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import SEARCH_LOGS, LogEvent, LogQuery, log_term
from shared.errors import VALIDATION, AuroraError
from shared.identity import Principal
from tests import stack
from tests.siem import Siem, siem
from tests.stack import Servers

READER = Principal("user_reader", "user", "reader", "viewer", frozenset({SIEM_READ}))
SSH = "Mar  1 12:00:00 web01 sshd[812]: Failed password for invalid user bob from 192.0.2.7 port 40022 ssh2"
EXECVE = 'type=EXECVE msg=audit(1772366400.120:77): argc=2 a0="cat" a1="/etc/shadow"'
SYSCALL = (
    "type=SYSCALL msg=audit(1772366400.120:77): arch=c000003e syscall=59 success=yes exit=0 ppid=10 pid=11 auid=1000 "
    'uid=0 comm="cat" exe="/usr/bin/cat" key="exec"'
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for the tests of this file; each keeps apart by its source."""
    with stack.data_folder() as folder:
        async with siem(servers, folder) as running:
            yield running


@pytest.fixture
def source() -> str:
    """A source that no other test uses."""
    return f"test-{new_id()}"


async def stored(service: Siem, source: str, *items: Any) -> str:
    """Stores items; the receipt."""
    status, receipt, _ = await service.ingest(list(items), query={"source": source})
    assert status == 202, receipt
    return str(receipt["receipt"])


async def messages(service: Siem, q: str, source: str, **query: Any) -> list[str]:
    """The messages of the events that are found, oldest first."""
    return [event.message for event in await service.search(q, source=source, **query)][::-1]


async def test_an_acknowledged_event_is_searchable(service: Siem, source: str) -> None:
    event = {"@timestamp": "2026-03-01T12:00:00.123Z", "message": "the needle", "host": {"name": "web01"}}
    status, receipt, _ = await service.ingest(event, query={"source": source})
    assert (status, receipt["accepted"], receipt["rejected"], receipt["errors"]) == (202, 1, 0, [])
    [found] = await service.search("host.name:WEB01 needle", source=source)
    assert found.receipt == receipt["receipt"]
    assert found.timestamp == datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
    assert (found.source, found.message, found.ecs["host.name"]) == (source, "the needle", "web01")
    assert orjson.loads(found.raw) == event
    assert abs(found.ingested_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_lines_objects_arrays_and_their_compressed_forms_are_taken(service: Siem, source: str) -> None:
    objects = [{"message": "one"}, {"message": "two"}]
    lines = b"\n".join(orjson.dumps(item) for item in objects)
    sent: list[tuple[str, bytes]] = [
        ("application/json", orjson.dumps(objects[0])),
        ("application/json; charset=utf-8", orjson.dumps(objects)),
        ("application/x-ndjson", lines),
        ("text/plain", SSH.encode() + b"\n\n" + SSH.encode() + b"\r\n"),
    ]
    accepted = []
    for content_type, body in sent:
        for headers, data in (({}, body), ({"Content-Encoding": "gzip"}, gzip.compress(body))):
            answer = await service.ingest(data, content_type=content_type, query={"source": source}, headers=headers)
            assert answer[0] == 202, answer[1]
            accepted.append(answer[1]["accepted"])
    assert accepted == [1, 1, 2, 2, 2, 2, 2, 2]
    assert len(await service.search(source=source, limit=200)) == sum(accepted)


async def test_a_bad_item_is_reported_at_its_place_and_stops_no_other(service: Siem, source: str) -> None:
    body = b'{"message": "good"}\n{"message": \n[1]\n{"message": "good too"}\n'
    status, receipt, _ = await service.ingest(body, content_type="application/x-ndjson", query={"source": source})
    assert (status, receipt["accepted"], receipt["rejected"]) == (202, 2, 2)
    assert [problem["index"] for problem in receipt["errors"]] == [1, 2]
    assert await messages(service, "", source) == ["good", "good too"]


async def test_at_most_a_thousand_problems_are_listed(service: Siem, source: str) -> None:
    status, receipt, _ = await service.ingest([1] * 1500 + [{"message": "good"}], query={"source": source})
    assert (status, receipt["accepted"], receipt["rejected"], len(receipt["errors"])) == (202, 1, 1500, 1000)


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "query", "status", "code"),
    [
        (b"{", "application/json", {}, {}, 400, "AURORA-4000"),
        (b'"x', "application/json", {}, {}, 400, "AURORA-4000"),
        (b"[1, null]", "application/json", {}, {}, 422, "AURORA-4220"),
        (b"[]", "application/json", {}, {}, 422, "AURORA-4220"),
        (b"\n \n", "text/plain", {}, {}, 422, "AURORA-4220"),
        (b"<x/>", "application/xml", {}, {}, 415, "AURORA-4150"),
        (b"not gzip", "text/plain", {"Content-Encoding": "gzip"}, {}, 400, "AURORA-4000"),
        (b"{}", "application/json", {}, {"source": "a\nb"}, 422, "AURORA-4220"),
        (b"{}", "application/json", {}, {"format": "nonsense"}, 422, "AURORA-4220"),
        (b"{}", "application/json", {}, {"sourec": "a"}, 422, "AURORA-4220"),
        (
            gzip.compress(b"x" * (32 * 1024 * 1024 + 1)),
            "text/plain",
            {"Content-Encoding": "gzip"},
            {},
            413,
            "AURORA-4130",
        ),
    ],
)
async def test_what_cannot_be_taken_is_refused_with_its_code(
    service: Siem,
    body: bytes,
    content_type: str,
    headers: dict[str, str],
    query: dict[str, str],
    status: int,
    code: str,
) -> None:
    answer = await service.ingest(body, content_type=content_type, headers=headers, query=query)
    assert (answer[0], answer[1]["error"]["code"]) == (status, code)


async def test_when_every_item_is_bad_each_is_named(service: Siem) -> None:
    _, answer, _ = await service.ingest([1, None])
    assert [problem["path"] for problem in answer["error"]["detail"]] == ["body[0]", "body[1]"]


async def test_intake_needs_the_permission_to_write(service: Siem) -> None:
    assert (await service.ingest({"message": "x"}, headers={"Authorization": "Bearer nonsense"}))[0] == 401
    status, answer, _ = await service.ingest({"message": "x"}, headers=service.headers(READER))
    assert (status, answer["error"]["detail"]) == (403, {"required": "siem:write"})


async def test_a_line_is_found_by_its_fields_whatever_their_case(service: Siem, source: str) -> None:
    await service.ingest(SSH, content_type="text/plain", query={"source": source})
    for q in (
        "user.name:BOB source.ip:192.0.2.7 host.name:web01",
        "source.ip:192.0.2.* failed",
        'message:"*invalid user*"',
        "source.port:40022",
        '"Failed password for"',
        "event.outcome:failure user.name:*",
        "event.dataset:linux.auth",
    ):
        assert len(await service.search(q, source=source)) == 1, q
    for q in (
        "user.name:bo",
        "source.ip:192.0.2.77",
        "event.outcome:success",
        "nothing.like.this:*",
        "unheard",
        "nvali",
    ):
        assert await service.search(q, source=source) == [], q


async def test_each_value_of_a_list_is_found(service: Siem, source: str) -> None:
    event = {
        "message": "m",
        "related": {"ip": ["192.0.2.1", "192.0.2.2"], "port": [22, 443]},
        "user": {"name": ["a", "b"]},
    }
    await stored(service, source, event)
    for q in ("related.ip:192.0.2.2", "related.ip:192.0.2.*", "user.name:B", "related.port:443"):
        assert len(await service.search(q, source=source)) == 1, q
    assert await service.search("related.ip:192.0.2.3", source=source) == []


@pytest.mark.parametrize(
    "text",
    [
        "100% of_it",
        r"C:\Windows\System32\cmd.exe",
        r"ends with \ ".strip(),
        'say "hi"',
        "a*b?c",
        "it's {v0:String} -- ; DROP TABLE logs",
        "ünïcödé ☃ 日本",
        "two\nlines",
        "tab\tand\\tnot",
    ],
)
async def test_text_with_special_characters_is_found_exactly(service: Siem, source: str, text: str) -> None:
    await stored(service, source, {"message": text, "file": {"path": text}}, {"message": "other"})
    for q in (log_term("file.path", text), log_term("", text).removeprefix(":")):
        assert [event.ecs["file.path"] for event in await service.search(q, source=source)] == [text], q


async def test_terms_are_combined_negated_and_grouped(service: Siem, source: str) -> None:
    await stored(
        service,
        source,
        {
            "message": "one ERR-7 half",
            "source": {"ip": "10.1.2.3", "port": 80},
            "process": {"command_line": "nc -l 99"},
        },
        {"message": "two", "source": {"ip": "192.0.2.9", "port": 1024}, "related": {"ip": ["10.1.0.1", "2001:db8::7"]}},
        {"message": "three", "source": {"ip": "fe80::1", "port": "x"}, "file": {"mtime": "2026-03-01T10:00:00+02:00"}},
    )
    expected = {
        "one or two": {"one", "two"},
        "not (one or two)": {"three"},
        "NOT source.port:80 and not three": {"two"},
        "not nothing.like.this:*": {"one", "two", "three"},
        "source.ip:(10.1.2.3 or fe80::1)": {"one", "three"},
        "source.port >= 80": {"one", "two"},
        "source.port > 80 or three": {"two", "three"},
        "not source.port > 80": {"one", "three"},
        "source.ip:10.0.0.0/8": {"one"},
        "source.ip:fe80::/10": {"three"},
        "source.ip:0.0.0.0/0": {"one", "two"},
        "related.ip:(2001:db8::/32)": {"two"},
        "related.ip:10.1.0.0/24 not one": {"two"},
        "source.ip > 10.1.2.3 and source.ip < 192.0.2.10": {"two"},
        "file.mtime >= 2026-03-01T08:00:00Z": {"three"},
        "file.mtime > 2026-03-01T08:00:00Z": set(),
        "err": {"one"},
        "err-7": {"one"},
        '"-L 99"': {"one"},
        '"99 nc"': set(),
        "hal": set(),
        "*hal*": {"one"},
        "raw:*192.0.2*": {"two"},
        "raw:*command_line*": {"one"},
        "@timestamp > 2000-01-01 and ingested_at < 2000-01-01": set(),
    }
    for q, names in expected.items():
        assert {message.split()[0] for message in await messages(service, q, source)} == names, q


async def test_words_are_found_whatever_their_case_and_alphabet(service: Siem, source: str) -> None:
    await stored(service, source, {"message": "Ünï-CODE Привет 日本語 done"})
    for q in ("ÜNÏ", "ünï", "code", "привет", "日本語", '"привет 日本語"', "DONE"):
        assert len(await service.search(q, source=source)) == 1, q
    assert await service.search("日本", source=source) == []
    assert len(await service.search(" ".join(f'"{"word " * 200}"' for _ in range(2)), source=source)) == 0


async def test_an_answer_has_counts_by_time_and_value_only_when_asked(service: Siem, source: str) -> None:
    at = ("2026-01-01T00:00:10Z", "2026-01-01T00:40:00Z", "2026-01-01T02:00:00Z", "1970-01-01T00:30:00Z")
    users: tuple[Any, ...] = ("root", ["root", "bob"], "[odd", "")
    await stored(
        service,
        source,
        *({"@timestamp": t, "message": "m", "user": {"name": u}} for t, u in zip(at, users, strict=True)),
    )
    async with service.client() as client:
        bare = await client.call(SEARCH_LOGS, query=LogQuery(q="m", source=source))
        assert (bare.histogram, bare.top, bare.slow) == (UNSET, UNSET, UNSET)
        query = LogQuery(q="m", source=source, limit=1, histogram="1h", top="user.name", fields="user.name")
        page = await client.call(SEARCH_LOGS, query=query)
        assert [(count.time.isoformat(), count.count) for count in page.histogram or []] == [
            ("1970-01-01T00:00:00+00:00", 1),
            ("2026-01-01T00:00:00+00:00", 2),
            ("2026-01-01T02:00:00+00:00", 1),
        ]
        assert [(count.value, count.count) for count in page.top or []] == [("root", 2), ("[odd", 1), ("bob", 1)]
        assert [(event.ecs, event.raw, event.message) for event in page.items] == [({"user.name": "[odd"}, "", "m")]
        by_category = LogQuery(source=source, since=datetime(2026, 1, 1, tzinfo=UTC), histogram="auto", top="x.y")
        page = await client.call(SEARCH_LOGS, query=by_category)
        assert sum(count.count for count in page.histogram or []) == 3
        assert page.top == []
        nothing = LogQuery(q="unheard", source=source, histogram="auto", top="message")
        page = await client.call(SEARCH_LOGS, query=nothing)
        assert (page.histogram, page.top) == ([], [])
        slow = await client.call(SEARCH_LOGS, query=LogQuery(q="*m* or raw:*x*", source=source))
        assert slow.slow == ["*m*", "raw:*x*"]
        for wrong in (LogQuery(histogram="0m"), LogQuery(top="a b"), LogQuery(fields="a,,b")):
            with pytest.raises(AuroraError) as refused:
                await client.call(SEARCH_LOGS, query=wrong)
            assert refused.value.code is VALIDATION


async def test_since_is_included_and_until_is_not(service: Siem, source: str) -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(4)]
    await stored(service, source, *({"@timestamp": m.isoformat(), "message": f"at {m.hour}"} for m in moments))
    assert await messages(service, "", source, since=moments[1], until=moments[3]) == ["at 1", "at 2"]
    assert await messages(service, "", source, since=datetime(2300, 1, 1, tzinfo=UTC)) == []


async def test_one_event_and_one_receipt_are_found_by_their_ids(service: Siem, source: str) -> None:
    first = await stored(service, source, {"message": "a"}, {"message": "b"})
    await stored(service, source, {"message": "c"})
    found = await service.search(receipt=first)
    assert sorted(event.message for event in found) == ["a", "b"]
    for q in (f"id:{found[0].id}", f"_id:{found[0].id}"):
        assert await service.search(q) == [found[0]]
    assert await service.search("id:nothing") == []


async def test_pages_give_each_event_once_newest_first(service: Siem, source: str) -> None:
    same = "2026-01-01T00:00:00Z"
    await stored(service, source, *({"@timestamp": same, "message": f"same {n}"} for n in range(25)))
    await stored(service, source, {"@timestamp": "2026-01-02T00:00:00Z", "message": "newer"})
    pages: list[list[LogEvent]] = []
    cursor: str | None = None
    async with service.client() as client:
        while cursor is not None or not pages:
            page = await client.call(SEARCH_LOGS, query=LogQuery(source=source, limit=10, cursor=cursor))
            pages.append(page.items)
            cursor = page.next_cursor
            # What comes meanwhile is newer, so it changes no page that follows.
            await stored(service, source, {"message": "later"})
    assert [len(page) for page in pages] == [10, 10, 6]
    events = [event for page in pages for event in page]
    assert events[0].message == "newer"
    assert len({event.id for event in events}) == 26


async def test_a_search_that_cannot_be_read_is_refused_with_the_reason(service: Siem) -> None:
    async with service.client() as client:
        for query in (LogQuery(q='"open'), LogQuery(q="user.name:"), LogQuery(cursor="nonsense")):
            with pytest.raises(AuroraError) as refused:
                await client.call(SEARCH_LOGS, query=query)
            assert refused.value.code is VALIDATION
            assert refused.value.detail[0]["path"] in ("query.q", "query.cursor")


async def test_records_of_one_audit_event_are_joined_also_where_a_large_body_is_parted(
    service: Siem, source: str
) -> None:
    filler = [f"Mar  1 12:00:{n % 60:02d} web01 app[1]: line {n}" for n in range(PART_ITEMS - 1)]
    body = "\n".join([*filler, SYSCALL, EXECVE, *filler])
    status, receipt, _ = await service.ingest(body, content_type="text/plain", query={"source": source})
    assert (status, receipt["accepted"]) == (202, 2 * PART_ITEMS)
    joined = await service.search('process.command_line:"cat /etc/shadow" process.pid:11', source=source)
    assert EXECVE in {event.raw for event in joined}


async def test_many_small_requests_at_once_are_each_answered_for_their_own_events(service: Siem, source: str) -> None:
    async def one(number: int) -> None:
        status, receipt, _ = await service.ingest({"message": f"number {number}"}, query={"source": source})
        assert status == 202
        assert [event.message for event in await service.search(receipt=receipt["receipt"])] == [f"number {number}"]

    await asyncio.gather(*(one(number) for number in range(60)))


async def test_a_full_intake_refuses_and_says_when_to_come_again(servers: Servers, source: str) -> None:
    with stack.data_folder() as folder:
        async with siem(servers, folder, intake_bytes="3000") as service:
            body = {"message": "x" * 2000}
            answers = await asyncio.gather(*(service.ingest(body, query={"source": source}) for _ in range(20)))
            refused = [headers for status, _, headers in answers if status == 429]
            accepted = [receipt for status, receipt, _ in answers if status == 202]
            assert len(refused) + len(accepted) == 20
            assert refused
            assert all(int(headers["Retry-After"]) >= 1 for headers in refused)
            assert len(await service.search(source=source, limit=200)) == len(accepted) > 0
            assert (await service.ingest({"message": "y" * 5000}))[0] == 202  # alone, even a larger one is taken
