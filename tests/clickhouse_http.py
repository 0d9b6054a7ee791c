"""The in-process engine behind ClickHouse's HTTP interface, in a process of its own: a server for tests.

`python -m tests.clickhouse_http FOLDER PORT` prints its port. It serves what a client needs: queries,
commands and inserts with parameters and settings, and errors in the shape of the real server. On the loopback only.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import chdb
from aiohttp import web

# Parameters of the interface itself; what is left are settings.
_INTERFACE = {"query", "database", "session_id", "query_id", "client_protocol_version", "buffer_size",
    "wait_end_of_query", "enable_http_compression", "compress", "decompress", "send_progress_in_http_headers",
    "http_headers_progress_interval_ms", "default_format", "role"}  # fmt: skip
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*$", re.IGNORECASE)
_RESULT = re.compile(r"\s*(?:SELECT|SHOW|DESCRIBE|EXISTS|EXPLAIN|WITH)\b", re.IGNORECASE)
_INSERT = re.compile(r"\s*(INSERT\s+INTO\s+.+?)\s+FORMAT\s+(\w+)\s*\n?", re.IGNORECASE | re.DOTALL)
PATH: web.AppKey[str] = web.AppKey("path", str)
#: While a file of this name stands beside the engine's folder, inserts are stored and never answered.
LOSES_ANSWERS = "loses-answers"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _answer(path: str, parameters: dict[str, str], body: bytes) -> tuple[bytes, str]:
    connection = chdb.connect(path)
    try:
        if parameters.get("database"):
            connection.query(f"USE `{parameters['database']}`")
        for name, value in parameters.items():
            if name not in _INTERFACE and not name.startswith("param_") and _NAME.fullmatch(name):
                connection.query(f"SET {name} = {_quoted(value)}")
        bound = {name.removeprefix("param_"): value for name, value in parameters.items() if name.startswith("param_")}
        if "query" not in parameters:
            return _query(connection, body.decode(), bound)
        insert = _INSERT.match(parameters["query"])
        if insert is not None:
            return _insert(connection, insert.group(1), insert.group(2), body), ""
        return _query(connection, f"{parameters['query']}\n{body.decode()}".rstrip(), bound)
    finally:
        connection.close()


def _query(connection: chdb.Connection, sql: str, bound: dict[str, str]) -> tuple[bytes, str]:
    match = _FORMAT.search(sql)
    kind = match.group(1) if match else "TabSeparated"
    return connection.query(sql, kind, params=bound).bytes(), kind if match or _RESULT.match(sql) else ""


def _insert(connection: chdb.Connection, statement: str, kind: str, body: bytes) -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        connection.query(f"{statement} FROM INFILE {_quoted(file.name)} FORMAT {kind}")
    return b""


async def _handle(request: web.Request) -> web.Response:
    parameters = dict(request.query)
    if request.content_type == "multipart/form-data":
        body = b""
        parameters |= {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    else:
        body = await request.read()
    try:
        data, kind = await asyncio.to_thread(_answer, request.app[PATH], parameters, body)
    except Exception as error:  # noqa: BLE001 - the engine's errors have no class of their own; the server tells them all
        code = re.search(r"Code: (\d+)", str(error))
        headers = {"X-ClickHouse-Exception-Code": code.group(1) if code else "1002"}
        return web.Response(status=500, text=str(error), headers=headers)
    statement = parameters.get("query", "") or body[:1000].decode("utf-8", "replace")
    if _INSERT.match(statement) and (Path(request.app[PATH]).parent / LOSES_ANSWERS).exists():
        assert request.transport is not None
        request.transport.abort()
    return web.Response(body=data, headers={"X-ClickHouse-Format": kind} if kind else {})


async def _serve(folder: str, port: int) -> None:
    app = web.Application(client_max_size=256 * 1024 * 1024)
    app[PATH] = folder
    app.router.add_route("*", "/{tail:.*}", _handle)
    keep = await asyncio.to_thread(chdb.connect, folder)  # the engine lives as long as one connection does
    keep.query("CREATE DATABASE IF NOT EXISTS aurora ENGINE = Atomic")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


@asynccontextmanager
async def clickhouse_server(folder: Path, port: int = 0) -> AsyncIterator[str]:
    """A server with its data in `folder`, ended with kill -9; its URL. Port 0 is any that is free."""
    arguments = ("-m", "tests.clickhouse_http", str(folder / "engine"), str(port))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            listening = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{listening}/aurora"
    finally:
        process.kill()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
