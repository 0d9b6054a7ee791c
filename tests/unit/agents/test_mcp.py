"""The MCP server's own rules: schemas, fences, turns, arguments; and an ASGI application behind a handler."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS

from services.agents.app import ROSTER
from services.agents.mcp.domain import DIALECT, fenced, object_schema
from services.agents.mcp.hosting import Hosted
from services.agents.mcp.service import ToolDesk, UnknownToolError
from services.agents.toolkit.fencing import visible
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.client import Client
from shared.contracts.agents import Thought
from shared.contracts.fleet import ToolCall
from shared.contracts.mcp import PROTOCOL_VERSIONS, McpToolResult
from shared.errors import INSUFFICIENT_PERMISSIONS, VALIDATION, AuroraError
from shared.identity import Principal

NOW = datetime(2026, 6, 14, 12, tzinfo=UTC)
TOOLS = {tool.name: tool for agent in ROSTER for tool in agent.tools}


class Inner(msgspec.Struct):
    """A part."""

    value: int


class Arguments(msgspec.Struct, kw_only=True):
    """What a tool
    may be told."""

    at: datetime
    name: str = "x"
    inner: Inner | None = None


def principal(*permissions: str, key: str = "a key") -> Principal:
    return Principal(key, "api_key", key, "api_service", frozenset(permissions))


def nobody() -> Client:
    """Of a siem that is away."""
    return Client("http://127.0.0.1:1", token=lambda: "", timeout_seconds=1)


def desk(told: list[Thought | ToolCall], *tools: Tool[Any], siem: Client | None = None) -> ToolDesk:
    async def publish(item: Thought | ToolCall) -> None:
        told.append(item)

    return ToolDesk(tools, Sources(siem or nobody()), publish)


async def _echo(arguments: Arguments, _sources: Sources) -> Any:
    return {"name": arguments.name}


ECHO = Tool("echo", "Say it again", Arguments, None, _echo)
GUARDED = Tool("guarded", "Say it again to a few", Arguments, "siem:read", _echo)


def test_the_newest_revision_and_the_two_before_it_are_promised() -> None:
    assert tuple(reversed(KNOWN_PROTOCOL_VERSIONS[-3:])) == PROTOCOL_VERSIONS


def test_a_schema_has_its_object_at_the_top_and_names_its_times() -> None:
    schema = object_schema(Arguments)
    assert (schema["$schema"], schema["type"], schema["required"]) == (DIALECT, "object", ["at"])
    assert schema["description"] == "What a tool may be told."
    assert schema["properties"]["at"]["format"] == "date-time"
    assert "format" not in schema["properties"]["name"]
    assert {"$ref": "#/$defs/Inner"} in schema["properties"]["inner"]["anyOf"]
    assert schema["$defs"]["Inner"]["properties"] == {"value": {"type": "integer"}}


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_every_tool_of_the_roster_has_such_a_schema(name: str) -> None:
    schema = object_schema(TOOLS[name].arguments)
    assert schema["type"] == "object"
    assert json.dumps(schema)


@pytest.mark.parametrize("text", ["\u202e\u200b\x1b[2J", "a\x7fb\U000e0041", '"\\\n', "naïve 日本"])
def test_visible_json_hides_nothing_and_says_the_same(text: str) -> None:
    document = visible(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(document) == {"text": text}
    assert document.isprintable()


def test_a_result_lies_between_marks_made_of_its_own_address() -> None:
    result = McpToolResult(id="tr_" + "0" * 32, tool="t", arguments={}, result="</tr_1>", executed_at=NOW)
    assert fenced(result).split("\n")[1:] == [f"<{result.id}>", '"</tr_1>"', f"</{result.id}>"]


async def test_a_call_is_recorded_under_its_address_in_the_callers_name() -> None:
    told: list[Thought | ToolCall] = []
    result = await desk(told, ECHO).call(principal(), "echo", {"at": "2026-06-14T12:00:00Z", "name": "it"})
    [call] = [item for item in told if isinstance(item, ToolCall)]
    assert (call.id, call.agent, call.caller, call.status) == (result.id, "mcp", "a key", "completed")
    assert call.result == result.result == {"name": "it"}


async def test_a_refused_call_names_the_scope_and_is_on_record_too() -> None:
    told: list[Thought | ToolCall] = []
    with pytest.raises(AuroraError) as refused:
        await desk(told, GUARDED).call(principal("agents:read"), "guarded", {"at": "2026-06-14T12:00:00Z"})
    assert (refused.value.code, refused.value.detail) == (INSUFFICIENT_PERMISSIONS, {"required": "siem:read"})
    [call] = [item for item in told if isinstance(item, ToolCall)]
    assert (call.status, call.error) == ("refused", "not granted (siem:read)")


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({}, "arguments.at"),
        ({"at": "yesterday"}, "arguments.at"),
        ({"at": "2026-06-14T12:00:00"}, "arguments.at"),
        ({"at": "0001-01-01T00:00:00Z"}, "arguments.at"),
        ({"at": "2026-06-14T12:00:00Z", "name": 1}, "arguments.name"),
        ({"at": "2026-06-14T12:00:00Z", "inner": {"value": "1"}}, "arguments.inner.value"),
        ({"at": "2026-06-14T12:00:00Z", "nmae": "x"}, "arguments.nmae"),
    ],
)
async def test_an_argument_that_is_wrong_is_named(arguments: dict[str, Any], path: str) -> None:
    told: list[Thought | ToolCall] = []
    with pytest.raises(AuroraError) as refused:
        await desk(told, ECHO).call(principal(), "echo", arguments)
    assert refused.value.code is VALIDATION
    assert [problem["path"] for problem in refused.value.detail] == [path]
    assert told == []


async def test_a_tool_that_there_is_not_is_unknown() -> None:
    with pytest.raises(UnknownToolError):
        await desk([]).call(principal(), "echo", {})


async def test_one_caller_has_eight_calls_at_a_time_and_holds_up_nobody_else() -> None:
    running: list[str] = []
    begun, go = asyncio.Event(), asyncio.Event()

    async def wait(arguments: Arguments, _sources: Sources) -> Any:
        running.append(arguments.name)
        if arguments.name == "another":
            begun.set()
        await go.wait()
        return {}

    tools = desk([], Tool("wait", "Wait", Arguments, None, wait))

    def call(caller: str) -> Any:
        return tools.call(principal(key=caller), "wait", {"at": "2026-06-14T12:00:00Z", "name": caller})

    async with asyncio.timeout(20), asyncio.TaskGroup() as calls:
        greedy = [calls.create_task(call("greedy")) for _ in range(12)]
        calls.create_task(call("another"))
        await begun.wait()
        assert sorted(running) == ["another", *["greedy"] * 8]
        go.set()
        await asyncio.gather(*greedy)
    assert running.count("greedy") == 12


async def test_a_source_that_is_away_degrades_the_health() -> None:
    siem = nobody()
    health = await desk([], ECHO, siem=siem).health()
    await siem.close()
    assert (health.status, health.degraded, health.tools) == ("degraded", ["siem"], 1)


class Application:
    """An ASGI application: a stream of two events at /stream, plain text at /refused, and else what arrived."""

    entered = 0

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        self.entered += 1
        yield

    async def handle_request(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        path, status, content_type = scope["path"], 200, b"application/json"
        if path == "/refused":
            status, content_type = 406, b"text/plain"
        elif path == "/stream":
            content_type = b"text/event-stream"
        headers = [(b"content-type", content_type), (b"connection", b"keep-alive"), (b"mcp-session-id", b"7")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if path == "/stream":
            for event in (b"data: 1\n\n", b"data: 2\n\n"):
                await send({"type": "http.response.body", "body": event, "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        told = {
            "method": scope["method"],
            "body": message["body"].decode(),
            "query": scope["query_string"].decode(),
            "accept": dict(scope["headers"])[b"accept"].decode(),
            "state": scope["state"],
        }
        body = b"No" if path == "/refused" else json.dumps(told).encode()
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(made: list[Application]) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    def make() -> Application:
        made.append(Application())
        return made[-1]

    hosted = Hosted(make)
    running = asyncio.create_task(hosted.run())

    async def handle(request: web.Request) -> web.StreamResponse:
        return await hosted.answer(request, await request.read(), {"who": "me"})

    app = web.Application()
    app.router.add_route("*", "/{path}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with asyncio.timeout(20), aiohttp.ClientSession() as http:
        yield http, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
    running.cancel()


async def test_a_hosted_application_is_made_once_when_it_is_first_asked() -> None:
    made: list[Application] = []
    async with served(made) as (http, url):
        assert made == []
        for _ in range(2):
            async with http.put(f"{url}/x?a=b", data=b"body", headers={"Accept": "a/b"}) as answer:
                told = await answer.json()
    assert told == {"method": "PUT", "body": "body", "query": "a=b", "accept": "a/b", "state": {"who": "me"}}
    assert answer.headers["mcp-session-id"] == "7"
    assert [application.entered for application in made] == [1]


async def test_a_refusal_in_plain_text_becomes_one_of_json_rpc() -> None:
    async with served([]) as (http, url), http.get(f"{url}/refused") as answer:
        told = await answer.json()
    assert answer.status == 406
    error = {"code": -32600, "message": "No", "data": {"code": "AURORA-4000"}}
    assert told == {"jsonrpc": "2.0", "id": None, "error": error}


async def test_a_stream_arrives_event_by_event_and_ends_when_its_client_goes() -> None:
    async with served([]) as (http, url), http.get(f"{url}/stream") as answer:
        assert answer.content_type == "text/event-stream"
        assert [await answer.content.readuntil(b"\n\n") for _ in range(2)] == [b"data: 1\n\n", b"data: 2\n\n"]
        answer.close()
