"""Puts the gateway together: its features meet here and nowhere else."""

from __future__ import annotations

from pathlib import Path

from aiohttp import hdrs, web

from services.gateway import origin
from services.gateway.accounts.changes import Changes
from services.gateway.accounts.passwords import Passwords
from services.gateway.accounts.routes import routes as account_routes
from services.gateway.accounts.service import Accounts
from services.gateway.accounts.store import UserStore
from services.gateway.admission import domain as admission
from services.gateway.admission.routes import PRINCIPAL, Door, is_stream, principal_of
from services.gateway.admission.service import Limits, Refusals, SignInThrottle
from services.gateway.audit.routes import routes as audit_routes
from services.gateway.audit.service import Audit
from services.gateway.cloud.aws import Aws
from services.gateway.cloud.azure import Azure
from services.gateway.cloud.google import Google
from services.gateway.cloud.revocations import Revocations
from services.gateway.cloud.routes import routes as cloud_routes
from services.gateway.cloud.service import Cloud
from services.gateway.cloud.store import CloudStore
from services.gateway.description.routes import routes as description_routes
from services.gateway.description.routes import welcome
from services.gateway.idempotency.routes import OnceOnly
from services.gateway.idempotency.service import Idempotency
from services.gateway.keys.domain import presented
from services.gateway.keys.routes import routes as key_routes
from services.gateway.keys.service import Keys
from services.gateway.keys.store import KeyStore
from services.gateway.proxy.routes import add_routes
from services.gateway.proxy.service import Forwarder
from services.gateway.sessions.routes import routes as session_routes
from services.gateway.sessions.service import Sessions
from services.gateway.sessions.store import SessionStore
from services.gateway.sessions.tokens import AccessTokens
from services.gateway.settings import GatewaySettings
from services.gateway.streams.routes import Sockets
from services.gateway.streams.routes import routes as stream_routes
from services.gateway.streams.service import Streams, Tickets
from services.gateway.system.routes import routes as system_routes
from services.gateway.system.service import Installation
from shared import config
from shared.cache import Cache
from shared.contracts.catalog import ENDPOINTS
from shared.contracts.identity import AuthProvider
from shared.http import application
from shared.identity import Principal, bearer
from shared.keyring import SigningKey
from shared.postgres import Database
from shared.runtime import Platform

MIGRATIONS = Path(__file__).parent / "migrations"
_KEEPALIVE_SECONDS = 75


async def start(platform: Platform) -> None:
    """Serves the public API until the process stops."""
    settings = platform.settings(GatewaySettings)
    database = await platform.postgres(MIGRATIONS)
    cache = platform.cache()
    audit = await _audit(platform, database)
    users, passwords = UserStore(database), Passwords(settings.password_workers)
    platform.on_stop(passwords.close)
    accounts = Accounts(users, passwords, audit)
    await accounts.ensure_first_user(settings.admin_password_file)
    throttle = SignInThrottle(cache, settings.login_attempts_per_minute)
    sessions = _sessions(platform, settings, database, cache, accounts, throttle, audit)
    keys = Keys(KeyStore(database), accounts, sessions, audit)
    platform.spawn("keys", keys.keep_house())
    changes = Changes(users, accounts, passwords, sessions, keys, throttle, audit)
    tickets = Tickets(cache)
    streams = Streams(await platform.bus())
    sockets = Sockets(streams, sessions.require_alive, settings.slow_reader_seconds, settings.session_check_seconds)
    installation = Installation(platform.health, settings.upstreams())
    platform.on_stop(installation.close)
    door = _door(settings, cache, sessions, keys, tickets, audit)
    app = application(
        platform.name,
        [
            *account_routes(accounts, changes, door.address_of),
            *session_routes(sessions, door.address_of, _no_others),
            *key_routes(keys),
            *audit_routes(audit),
            *stream_routes(sockets, tickets),
            *system_routes(installation),
            *description_routes(platform.name),
        ],
        authenticate=principal_of,
        mode=platform.mode,
        middlewares=[welcome, door.middleware()],
    )
    _add_proxy(app, platform, settings, cache)
    app.on_response_prepare.append(door.stamp)
    app.on_shutdown.append(sockets.stop)
    await platform.serve_app(app, auto_decompress=False, keepalive_timeout=_KEEPALIVE_SECONDS)


async def _audit(platform: Platform, database: Database) -> Audit:
    audit = Audit(database, await platform.outbox(database), origin.address)
    platform.on_stop(audit.close)
    platform.spawn("audit", audit.run())
    return audit


async def _no_others() -> list[AuthProvider]:
    return []


def _sessions(
    platform: Platform,
    settings: GatewaySettings,
    database: Database,
    cache: Cache,
    accounts: Accounts,
    throttle: SignInThrottle,
    audit: Audit,
) -> Sessions:
    try:
        key = SigningKey(settings.token_key_file)
        tokens = AccessTokens(key, settings.access_token_seconds, settings.token_jwks_file)
    except ValueError as error:
        raise config.ConfigError(f"AURORA_TOKEN_KEY_FILE or AURORA_TOKEN_JWKS_FILE: {error}") from error
    life = settings.refresh_token_seconds
    sessions = Sessions(SessionStore(database), cache, tokens, accounts, throttle, audit, refresh_seconds=life)
    platform.spawn("sessions", sessions.keep_house())
    return sessions


def _door(
    settings: GatewaySettings, cache: Cache, sessions: Sessions, keys: Keys, tickets: Tickets, audit: Audit
) -> Door:
    async def identify(request: web.Request) -> Principal:
        ticket = request.query.get("ticket")
        if ticket and is_stream(request) and hdrs.AUTHORIZATION not in request.headers:
            return await tickets.redeem(ticket)
        key = presented(request.headers)
        if key is not None:
            return await keys.identify(key)
        return sessions.identify(bearer(request.headers.get(hdrs.AUTHORIZATION)))

    limits = Limits(cache, sessions, lambda: settings)
    try:
        trusted = admission.networks(settings.trusted_proxies)
    except ValueError as error:
        raise config.ConfigError("AURORA_TRUSTED_PROXIES is not a list of addresses and networks") from error
    return Door(identify, limits, Refusals(audit), settings.frontend_url.rstrip("/"), trusted)


def _add_proxy(app: web.Application, platform: Platform, settings: GatewaySettings, cache: Cache) -> None:
    proxied = [endpoint for endpoint in ENDPOINTS.values() if endpoint.service != platform.name]
    longest = max(endpoint.timeout_seconds for endpoint in proxied)
    once = OnceOnly(Idempotency(cache, running_seconds=int(longest) + 60))
    forwarder = Forwarder(settings.upstreams(), platform.signer)
    platform.on_stop(forwarder.close)
    add_routes(app, proxied, forwarder, lambda request: request[PRINCIPAL], once)
