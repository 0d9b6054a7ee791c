"""A signed-in client of a stack: finds it by its data folder or by its URL, signs in, and signs in again in time.

The local stack's token is kept in the data folder, beside the password it came from, so that a script of many commands
doesn't run into the limit on sign-ins. This is the only place of the command line that handles credentials of the API.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from cli import logins
from cli.logins import Login
from cli.terminal import plain
from deploy.local.errors import StackError
from deploy.local.layout import DataFolder, holder_of, write_private
from deploy.local.runtime_file import Runtime, read_runtime
from shared import config
from shared.client import Client
from shared.contracts.constants import Endpoint
from shared.contracts.identity import CREATE_TOKEN, TokenRequest
from shared.errors import AUTHENTICATION_REQUIRED, INVALID_CREDENTIALS, TOKEN_EXPIRED, AuroraError

Q = TypeVar("Q")
B = TypeVar("B")
R = TypeVar("R")
_TOKEN_FILE = "cli-token.json"  # noqa: S105 - a file's name
#: A token is replaced so long before it expires, in seconds: a request on its way must not outlive it.
_MARGIN_SECONDS = 60.0
REFUSED = (AUTHENTICATION_REQUIRED, INVALID_CREDENTIALS, TOKEN_EXPIRED)


@dataclass(frozen=True)
class CliSettings:
    """For a stack that runs elsewhere: AURORA_CLI_URL, AURORA_CLI_USERNAME, AURORA_CLI_PASSWORD_FILE.

    Without a password file it is whoever `aurora login` signed in there.
    """

    url: str = ""
    username: str = "admin"
    password_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A stack, and who signs in there: with the password in `credential`, or with what `aurora login` kept in it.

    `token_file` keeps the token between commands, if it may be kept.
    """

    url: str
    username: str
    credential: Path
    token_file: Path | None = None
    is_login: bool = False


class _Token(msgspec.Struct):
    """An access token and when it ends, in epoch seconds."""

    access_token: str
    expires_at: float
    gateway: str


def running(data_dir: Path) -> Runtime:
    """The running stack of a data folder. Raises StackError when none runs there."""
    folder = DataFolder(data_dir)
    runtime = read_runtime(folder)
    if runtime is None or holder_of(folder) is None:
        raise StackError(f"no stack runs on {data_dir}: start one with `aurora up`, or name one with --url")
    return runtime


def find(data_dir: Path, url: str | None) -> Target:
    """The stack at `url` or AURORA_CLI_URL, else the one of the data folder. Raises StackError or ConfigError."""
    settings = config.load(CliSettings, service="cli")
    address = url or settings.url
    if address:
        return _elsewhere(address, settings)
    runtime = running(data_dir)
    token_file = DataFolder(data_dir).secrets / _TOKEN_FILE
    return Target(runtime.gateway, runtime.admin.username, Path(runtime.admin.password_file), token_file)


def _elsewhere(url: str, settings: CliSettings) -> Target:
    if settings.password_file is not None:
        return Target(url, settings.username, settings.password_file)
    file = logins.file_of(url)
    login = logins.read(file)
    if login is None:
        raise config.ConfigError(
            f"not signed in at {plain(url)}: run `aurora login {plain(url)}`, or set AURORA_CLI_PASSWORD_FILE"
        )
    return Target(url, login.username, file, is_login=True)


class Session:
    """Calls endpoints as the signed-in user. Use `opened`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._token = self._kept()
        self._client = Client(target.url, token=self._access_token, timeout_seconds=None)
        self._door = Client(target.url)

    def _access_token(self) -> str:
        return self._token.access_token if self._token is not None else ""

    async def call(
        self,
        endpoint: Endpoint[Q, B, R],
        *,
        path: Mapping[str, str] | None = None,
        query: Q | None = None,
        body: B | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> R:
        """The endpoint's answer. Raises the AuroraError it refuses with."""
        await self._sign_in_in_time()
        try:
            return await self._client.call(endpoint, path=path, query=query, body=body, headers=headers)
        except AuroraError as error:
            if error.code not in REFUSED:
                raise
        # The kept token was of a session that has ended since.
        await self._sign_in()
        return await self._client.call(endpoint, path=path, query=query, body=body, headers=headers)

    async def stream(
        self, endpoint: Endpoint[Q, None, R], query: Q | None = None, *, opened: asyncio.Event | None = None
    ) -> AsyncGenerator[R, None]:
        """The frames of a WebSocket until it closes; `opened` is set when it is open. Raises AuroraError when it is
        refused."""
        # A kept token may be of a session that has ended: a socket tells that only by its status.
        await self._sign_in()
        async with aclosing(self._client.stream(endpoint, query, opened=opened)) as frames:
            async for frame in frames:
                yield frame

    async def _sign_in_in_time(self) -> None:
        if self._token is None or self._token.expires_at - time.time() < _MARGIN_SECONDS:
            await self._sign_in()

    async def _sign_in(self) -> None:
        if self._target.is_login:
            self._token = await self._renewed()
            return
        password = config.read_secret(self._target.credential)
        answer = await self._door.call(
            CREATE_TOKEN, body=TokenRequest(username=self._target.username, password=password)
        )
        self._token = _Token(answer.access_token, time.time() + answer.expires_in, self._target.url)
        if self._target.token_file is not None:
            write_private(self._target.token_file, msgspec.json.encode(self._token).decode() + "\n")

    async def _renewed(self) -> _Token:
        """The token of a kept sign-in, a new one when its time has come or the gateway refuses it."""
        file = self._target.credential
        with logins.held(file):
            login = logins.read(file)
            if login is None:
                raise config.ConfigError(f"run `aurora login {plain(self._target.url)}` again: there is no sign-in")
            refused = self._token is not None and self._token.access_token == login.access_token
            if refused or login.expires_at - time.time() < _MARGIN_SECONDS:
                login = await self._refreshed(login)
                logins.write(file, login)
        return _Token(login.access_token, login.expires_at, login.gateway)

    async def _refreshed(self, login: Login) -> Login:
        asked = TokenRequest(grant_type="refresh_token", refresh_token=login.refresh_token)
        try:
            answer = await self._door.call(CREATE_TOKEN, body=asked)
        except AuroraError as error:
            if error.code not in REFUSED:
                raise
            raise config.ConfigError(f"run `aurora login {plain(login.gateway)}` again: the session is over") from error
        expires_at = time.time() + answer.expires_in
        return Login(login.gateway, login.username, answer.access_token, expires_at, answer.refresh_token)

    def _kept(self) -> _Token | None:
        if self._target.token_file is None:
            return None
        try:
            token = msgspec.json.decode(self._target.token_file.read_bytes(), type=_Token)
        except (OSError, msgspec.DecodeError):
            return None
        return token if token.gateway == self._target.url else None

    async def close(self) -> None:
        """Closes the connections; the session at the gateway ends by itself."""
        await self._client.close()
        await self._door.close()


@asynccontextmanager
async def opened(target: Target) -> AsyncIterator[Session]:
    """A session, closed at the end."""
    session = Session(target)
    try:
        yield session
    finally:
        await session.close()
