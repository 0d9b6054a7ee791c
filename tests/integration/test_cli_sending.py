"""The command line's session and its sending of logs, through a real gateway to a service that answers as told."""

from __future__ import annotations

import stat
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from cli import sending
from cli.sending import send
from cli.session import Session, Target, opened
from shared.contracts.identity import GET_CURRENT_USER
from shared.contracts.logs import INGEST_LOGS, IngestQuery, IngestReceipt
from shared.errors import CLICKHOUSE_UNAVAILABLE, CONFLICT, RATE_LIMITED, UNAVAILABLE, VALIDATION, AuroraError
from shared.http import Call
from tests.gateway import ADMIN_PASSWORD, Gateway, Upstream, gateway
from tests.stack import Servers

QUERY = IngestQuery(source="test")
RECEIPT = IngestReceipt(1, 0, [], "a-receipt")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    async with gateway(servers, tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture
def siem(running: Gateway) -> Iterator[Upstream]:
    """The service behind the gateway; `script` gives it its answers."""
    service = running.upstreams["siem"]
    service.seen.clear()
    yield service
    service.answers.clear()


@pytest.fixture
def target(running: Gateway, tmp_path: Path) -> Target:
    password = tmp_path / "password"
    password.write_text(ADMIN_PASSWORD + "\n")
    return Target(running.url, "admin", password, tmp_path / "token.json")


class Watched(Session):
    """A session that notes the Idempotency-Key of each call: the gateway passes it on to nobody."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.keys: list[str] = []

    async def call(self, endpoint: Any, **options: Any) -> Any:
        self.keys.append(options["headers"]["Idempotency-Key"])
        return await super().call(endpoint, **options)


@pytest_asyncio.fixture(loop_scope="session")
async def session(target: Target) -> AsyncIterator[Watched]:
    signed_in = Watched(target)
    yield signed_in
    await signed_in.close()


def script(siem: Upstream, *answers: AuroraError | IngestReceipt) -> None:
    """Intake answers these in turn."""
    left = list(answers)

    async def answer(_call: Call[Any, Any]) -> IngestReceipt:
        now = left.pop(0)
        if isinstance(now, AuroraError):
            raise now
        return now

    siem.answers[INGEST_LOGS] = answer


async def test_a_busy_stack_is_waited_for_as_long_as_it_asks_and_one_that_is_away_is_tried_again(
    siem: Upstream, session: Watched
) -> None:
    script(siem, AuroraError(RATE_LIMITED, retry_after=1), AuroraError(CLICKHOUSE_UNAVAILABLE), RECEIPT)
    told: list[str] = []
    started = time.monotonic()
    receipt = await send(session, b"x", "text/plain", QUERY, waiting=lambda error: told.append(error.code.code))
    assert receipt == RECEIPT
    assert told == ["AURORA-4290", "AURORA-5032"]
    assert time.monotonic() - started >= 1
    assert len(session.keys) == 3
    assert len(set(session.keys)) == 1


async def test_patience_ends(siem: Upstream, session: Watched) -> None:
    script(siem, *[AuroraError(UNAVAILABLE) for _ in range(9)])
    with pytest.raises(AuroraError) as refusal:
        await send(session, b"x", "text/plain", QUERY, patience=0.2)
    assert refusal.value.code is UNAVAILABLE


async def test_what_no_retry_can_help_is_told_at_once(siem: Upstream, session: Watched) -> None:
    script(siem, AuroraError(CONFLICT))
    with pytest.raises(AuroraError) as refusal:
        await send(session, b"x", "text/plain", QUERY)
    assert refusal.value.code is CONFLICT
    assert len(siem.seen) == 1


async def test_a_batch_of_which_nothing_was_acceptable_names_each_item(siem: Upstream, session: Watched) -> None:
    problems = [{"path": f"body[{index}]", "message": "is no event"} for index in range(2)]
    script(siem, AuroraError(VALIDATION, problems))
    receipt = await send(session, b"1\n2", "application/x-ndjson", QUERY)
    assert (receipt.accepted, receipt.rejected) == (0, 2)
    assert [(item.index, item.message) for item in receipt.errors] == [(0, "is no event"), (1, "is no event")]


async def test_a_request_that_is_refused_as_a_whole_is_a_refusal(siem: Upstream, session: Watched) -> None:
    script(siem, AuroraError(VALIDATION, [{"path": "query.format", "message": "unknown"}]))
    with pytest.raises(AuroraError) as refusal:
        await send(session, b"x", "text/plain", QUERY)
    assert refusal.value.code is VALIDATION


async def test_an_attempt_whose_outcome_stays_unknown_is_sent_anew_under_another_key(
    siem: Upstream, session: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_UNKNOWN_SECONDS", 0.0)
    script(siem, AuroraError(CONFLICT, retry_after=1), RECEIPT)
    assert await send(session, b"x", "text/plain", QUERY) == RECEIPT
    assert len(set(session.keys)) == 2


async def test_commands_share_a_token_that_only_its_owner_can_read(target: Target) -> None:
    assert target.token_file is not None
    async with opened(target) as first:
        await first.call(GET_CURRENT_USER)
    kept = target.token_file.read_bytes()
    assert stat.S_IMODE(target.token_file.stat().st_mode) == 0o600
    async with opened(target) as second:
        await second.call(GET_CURRENT_USER)
    assert target.token_file.read_bytes() == kept


@pytest.mark.parametrize("damage", [{"access_token": "x.y.z"}, {"expires_at": 0.0}, {"gateway": "http://elsewhere"}])
async def test_a_kept_token_that_is_no_good_is_replaced(target: Target, damage: dict[str, Any]) -> None:
    assert target.token_file is not None
    async with opened(target) as first:
        await first.call(GET_CURRENT_USER)
    kept = msgspec.json.decode(target.token_file.read_bytes())
    target.token_file.write_bytes(msgspec.json.encode({**kept, **damage}))
    async with opened(target) as second:
        assert (await second.call(GET_CURRENT_USER)).username == "admin"
    assert msgspec.json.decode(target.token_file.read_bytes())["access_token"] not in (kept["access_token"], "x.y.z")


async def test_a_wrong_password_is_a_refusal(target: Target, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password\n")
    async with opened(Target(target.url, "admin", wrong)) as session:
        with pytest.raises(AuroraError) as refusal:
            await session.call(GET_CURRENT_USER)
    assert refusal.value.code.code == "AURORA-4012"
