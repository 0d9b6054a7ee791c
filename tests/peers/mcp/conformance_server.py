"""A server with everything that the conformance suite asks for, over the transport of the product.

Sessions, streams of events and their resumption are the library's; `Hosted` carries them, as it carries the product's
answers. Prints its address, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import Any

from aiohttp import web
from mcp.server import Server, ServerRequestContext
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    JSONRPCMessage,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    ReadResourceRequestParams,
    ReadResourceResult,
    Tool,
)

from services.agents.mcp.hosting import Hosted
from tests.peers.mcp import conformance_parts as parts

Context = ServerRequestContext[Any, Any]
_MAX_BODY = 1024 * 1024


class Events(EventStore):
    """Every event there was, so that a stream can be taken up again."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._kept.append((stream_id, message))
        return str(len(self._kept))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        last = int(last_event_id)
        stream = self._kept[last - 1][0]
        for number, (stream_id, message) in enumerate(self._kept[last:], last + 1):
            if stream_id == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


async def _list_tools(_context: Context, _params: Any) -> ListToolsResult:
    tools = [
        Tool(name=name, description=name, input_schema=parts.SCHEMAS.get(name, parts.NOTHING)) for name in parts.TOOLS
    ]
    return ListToolsResult(tools=tools)


async def _call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
    run = parts.TOOLS.get(params.name)
    if run is None:
        raise MCPError(INVALID_PARAMS, "Unknown tool")
    return await run(context, params.arguments or {})


async def _list_resources(_context: Context, _params: Any) -> ListResourcesResult:
    return ListResourcesResult(resources=parts.RESOURCES)


async def _list_templates(_context: Context, _params: Any) -> ListResourceTemplatesResult:
    return ListResourceTemplatesResult(resource_templates=parts.TEMPLATES)


async def _read(_context: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    return parts.read(str(params.uri))


async def _list_prompts(_context: Context, _params: Any) -> ListPromptsResult:
    return ListPromptsResult(prompts=parts.PROMPTS)


async def _get_prompt(_context: Context, params: GetPromptRequestParams) -> GetPromptResult:
    return parts.prompt(params.name, params.arguments or {})


async def _complete(_context: Context, _params: CompleteRequestParams) -> CompleteResult:
    return CompleteResult(completion=Completion(values=[], total=0, has_more=False))


async def _acknowledge(_context: Context, _params: Any) -> EmptyResult:
    return EmptyResult()


def _manager() -> StreamableHTTPSessionManager:
    # The suite asks for logging too, which the newest revision has no more.
    warnings.simplefilter("ignore")
    server: Server[Any] = Server(
        "conformance",
        version="1",
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_templates,
        on_read_resource=_read,
        on_subscribe_resource=_acknowledge,
        on_unsubscribe_resource=_acknowledge,
        on_list_prompts=_list_prompts,
        on_get_prompt=_get_prompt,
        on_completion=_complete,
        on_set_logging_level=_acknowledge,
    )
    loopback = ["127.0.0.1:*", "localhost:*"]
    security = TransportSecuritySettings(
        allowed_hosts=loopback, allowed_origins=[f"http://{name}" for name in loopback]
    )
    return StreamableHTTPSessionManager(
        server, event_store=Events(), retry_interval=100, security_settings=security, max_request_body_size=_MAX_BODY
    )


async def main() -> None:
    """Serves on a free port of the loopback address."""
    hosted = Hosted(_manager)
    serving = asyncio.create_task(hosted.run())

    async def handle(request: web.Request) -> web.StreamResponse:
        return await hosted.answer(request, await request.read(), {})

    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_route("*", "/mcp", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}/mcp\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    serving.cancel()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
