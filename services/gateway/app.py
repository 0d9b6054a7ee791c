"""Puts the gateway together: its features meet here and nowhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from services.gateway import origin
from services.gateway.accounts.changes import Changes
from services.gateway.accounts.passwords import Passwords
from services.gateway.accounts.routes import routes as account_routes
from services.gateway.accounts.service import Accounts
from services.gateway.accounts.store import UserStore
from services.gateway.admission import domain as admission
from services.gateway.admission.routes import PRINCIPAL, Door, endpoint_of, principal_of
from services.gateway.admission.service import Limits, Refusals
from services.gateway.admission.sign_ins import SignInThrottle
from services.gateway.arrival import Arrive, arrivals
from services.gateway.audit.routes import routes as audit_routes
from services.gateway.audit.service import Audit
from services.gateway.browser import SIGN_IN_SECONDS
from services.gateway.callers import Callers, Pages
from services.gateway.cloud.assembly import callback_url, cloud
from services.gateway.cloud.routes import routes as cloud_routes
from services.gateway.description.routes import routes as description_routes
from services.gateway.description.routes import welcome
from services.gateway.federation.service import Federation, Flows
from services.gateway.federation.store import IdentityStore
from services.gateway.idempotency.routes import OnceOnly
from services.gateway.idempotency.service import Idempotency
from services.gateway.idempotency.store import sealing_keys
from services.gateway.keys.routes import routes as key_routes
from services.gateway.keys.service import Keys
from services.gateway.keys.store import KeyStore
from services.gateway.oidc import domain as oidc
from services.gateway.oidc import provider as oidc_provider
from services.gateway.oidc.routes import routes as oidc_routes
from services.gateway.oidc.service import Oidc
from services.gateway.proxy.routes import add_routes
from services.gateway.proxy.service import Forwarder
from services.gateway.rca.domain import Registration, registration
from services.gateway.rca.routes import routes as rca_routes
from services.gateway.rca.service import RcaAccounts
from services.gateway.runtime_settings.routes import routes as settings_routes
from services.gateway.runtime_settings.service import RuntimeSettingsService
from services.gateway.saml import domain as saml
from services.gateway.saml import providers as saml_providers
from services.gateway.saml.routes import routes as saml_routes
from services.gateway.saml.service import Replays, Saml
from services.gateway.sessions.browsers import Browsers
from services.gateway.sessions.routes import routes as session_routes
from services.gateway.sessions.service import Sessions
from services.gateway.sessions.store import SessionStore
from services.gateway.sessions.tokens import AccessTokens
from services.gateway.settings import FederationSettings, GatewaySettings
from services.gateway.streams.routes import Sockets
from services.gateway.streams.routes import routes as stream_routes
from services.gateway.streams.service import Streams, Tickets
from services.gateway.system.routes import routes as system_routes
from services.gateway.system.service import Installation
from shared import config
from shared.cache import Cache
from shared.contracts.catalog import ENDPOINTS
from shared.contracts.constants import Endpoint
from shared.contracts.federation import OIDC_CALLBACK
from shared.contracts.identity import AuthProvider
from shared.errors import AuroraError
from shared.http import Route, application
from shared.identity import Principal
from shared.keyring import SigningKey
from shared.loopback import is_loopback
from shared.outbound import Outbound, trusted_url
from shared.postgres import Database
from shared.runtime import Platform

MIGRATIONS = Path(__file__).parent / "migrations"
_KEEPALIVE_SECONDS = 75
#: How long an identity provider may take to answer.
_PROVIDER_SECONDS = 8.0


async def start(platform: Platform) -> None:
    """Serves the public API until the process stops."""
    settings = platform.settings(GatewaySettings)
    database = await platform.postgres(MIGRATIONS)
    cache = platform.cache()
    audit = await _audit(platform, database)
    users, passwords = UserStore(database), _passwords(settings)
    platform.on_stop(passwords.close)
    accounts = Accounts(users, passwords, audit)
    await accounts.ensure_first_user(settings.admin_password_file)
    throttle = SignInThrottle(cache, lambda: platform.live.current.login_attempts_per_minute)
    sessions = _sessions(platform, settings, database, cache, accounts, throttle, audit)
    keys = Keys(KeyStore(database), sessions, audit)
    platform.spawn("keys", keys.keep_house())
    platform.spawn("checked keys", keys.checked.follow())
    changes = Changes(users, accounts, passwords, sessions, keys, throttle, audit)
    browsers = Browsers(SessionStore(database), sessions, settings.refresh_token_seconds)
    federated = _federated(platform, database, cache, accounts, changes, audit)
    tickets = Tickets(cache)
    streams = Streams(await platform.bus())
    platform.spawn("streams", streams.follow())
    installation = Installation(platform.health, settings.upstreams())
    platform.on_stop(installation.close)
    rca = RcaAccounts(accounts, changes, sessions, browsers, audit, _registration(platform, settings))
    callers = _callers(settings, sessions, browsers, keys, tickets, rca)
    sockets = Sockets(streams, callers.still_admitted, settings.slow_reader_seconds, settings.session_check_seconds)
    limits = Limits(cache, sessions, lambda: platform.live.current)
    door = Door(
        callers.identify, limits, Refusals(audit), callers.pages.frontend, callers.trusted, settings.rfc_deprecation
    )
    clouds = cloud(platform, database, cache, accounts, audit)
    once = await _once_only(platform, settings, database, cache)
    app = application(
        platform.name,
        [
            *account_routes(accounts, changes, door.address_of),
            *session_routes(sessions, door.address_of, federated.ways),
            *federated.routes(arrivals(sessions, browsers, door.address_of)),
            *rca_routes(rca, door.address_of, callers.pages.require_none_other, browsers.life_seconds),
            *key_routes(keys),
            *audit_routes(audit),
            *cloud_routes(clouds, _whoever(door), _is_at_home(door), callback_url(platform), door.frontend),
            *settings_routes(await _runtime_settings(platform, database, audit)),
            *stream_routes(sockets, tickets, callers.until),
            *system_routes(installation),
            *description_routes(platform.name),
        ],
        authenticate=principal_of,
        mode=platform.mode,
        middlewares=[welcome, door.middleware(), once.middleware(_own_write(platform.name), _admitted)],
    )
    _add_proxy(app, platform, settings, once)
    app.on_response_prepare.append(door.stamp)
    app.on_shutdown.append(sockets.stop)
    await platform.serve_app(app, auto_decompress=False, keepalive_timeout=_KEEPALIVE_SECONDS)


async def _audit(platform: Platform, database: Database) -> Audit:
    audit = Audit(database, await platform.outbox(database), origin.address)
    platform.on_stop(audit.close)
    platform.spawn("audit", audit.run())
    return audit


async def _runtime_settings(platform: Platform, database: Database, audit: Audit) -> RuntimeSettingsService:
    runtime_settings = RuntimeSettingsService(database, platform.live, audit)
    await runtime_settings.refresh()
    bus = await platform.bus()
    platform.spawn("settings", runtime_settings.tell(bus))
    platform.spawn("settings-changes", runtime_settings.listen(bus))
    return runtime_settings


@dataclass(frozen=True, slots=True)
class _Federated:
    """The ways in by a provider of identities."""

    oidc: Oidc
    saml: Saml
    secure: bool

    async def ways(self) -> list[AuthProvider]:
        """For whoever asks how to sign in."""
        return [*self.oidc.ways(), *self.saml.ways()]

    def routes(self, arrive: Arrive) -> list[Route]:
        """Their routes; `arrive` ends a sign-in."""
        secure = self.secure
        return [*oidc_routes(self.oidc, arrive, secure=secure), *saml_routes(self.saml, arrive, secure=secure)]


def _federated(
    platform: Platform, database: Database, cache: Cache, accounts: Accounts, changes: Changes, audit: Audit
) -> _Federated:
    settings = platform.settings(FederationSettings)
    url = settings.public_url.rstrip("/")
    if settings.has_providers:
        try:
            trusted_url(url)
        except ValueError as error:
            raise config.ConfigError(f"AURORA_PUBLIC_URL {error}; providers send browsers back there") from error
    outbound = Outbound(timeout_seconds=_PROVIDER_SECONDS)
    platform.on_stop(outbound.close)
    federation = Federation(IdentityStore(database), accounts, changes, audit)
    by_oidc = Oidc(
        oidc_provider.load(settings.oidc_providers_file, url + OIDC_CALLBACK.path, outbound),
        Flows(cache, oidc.Flow, "oidc", SIGN_IN_SECONDS),
        federation,
    )
    by_saml = Saml(
        saml_providers.load(settings.saml_providers_file, url),
        Flows(cache, saml.Flow, "saml", SIGN_IN_SECONDS),
        Replays(cache),
        federation,
        url,
    )
    platform.on_stop(by_saml.close)
    return _Federated(by_oidc, by_saml, url.startswith("https:"))


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


def _passwords(settings: GatewaySettings) -> Passwords:
    if not 10 <= settings.password_cost <= 16:
        raise config.ConfigError("AURORA_PASSWORD_COST must be from 10 to 16")
    return Passwords(settings.password_workers, settings.password_cost)


def _registration(platform: Platform, settings: GatewaySettings) -> Callable[[], Registration]:
    """As it is set now; where a provider of identities is, nobody registers unless that is asked for."""
    provided = platform.settings(FederationSettings).has_providers

    def as_set() -> Registration:
        chosen = platform.live.current.registration
        return registration(not provided if chosen is None else chosen, settings.registration_role)

    try:
        as_set()
    except ValueError as error:
        raise config.ConfigError(f"AURORA_REGISTRATION_ROLE {error}") from error
    return as_set


def _callers(
    settings: GatewaySettings,
    sessions: Sessions,
    browsers: Browsers,
    keys: Keys,
    tickets: Tickets,
    rca: RcaAccounts,
) -> Callers:
    try:
        trusted = admission.networks(settings.trusted_proxies)
    except ValueError as error:
        raise config.ConfigError("AURORA_TRUSTED_PROXIES is not a list of addresses and networks") from error
    pages = Pages(settings.frontend_url.rstrip("/"))
    return Callers(sessions, browsers, keys, tickets, rca, pages, trusted)


def _whoever(door: Door) -> Callable[[web.Request], Awaitable[Principal | None]]:
    """Whose request it is where nobody must be signed in: None without anything that is good."""

    async def whoever(request: web.Request) -> Principal | None:
        try:
            principal = await door.identify(request)
            await door.limits.sessions.require_alive(principal)
        except AuroraError as error:
            if error.code.status == 401:
                return None
            raise
        return principal

    return whoever


def _is_at_home(door: Door) -> Callable[[web.Request], bool]:
    """Whether a request comes from this machine itself, where this installation believes whoever asks."""

    def is_at_home(request: web.Request) -> bool:
        return is_loopback(door.address_of(request)) and admission.is_trusted(request.remote, door.trusted)

    return is_at_home


async def _once_only(platform: Platform, settings: GatewaySettings, database: Database, cache: Cache) -> OnceOnly:
    seals = await sealing_keys(database)
    idempotency = Idempotency(cache, seals, lease_seconds=settings.idempotency_lease_seconds)
    platform.spawn("idempotency", idempotency.renew())
    return OnceOnly(idempotency)


def _admitted(request: web.Request) -> Principal:
    return request[PRINCIPAL]


def _own_write(name: str) -> Callable[[web.Request], Endpoint[Any, Any, Any] | None]:
    """The endpoint of this service that takes an Idempotency-Key and that a request is for."""

    def own_write(request: web.Request) -> Endpoint[Any, Any, Any] | None:
        endpoint = endpoint_of(request)
        return endpoint if endpoint is not None and endpoint.keyed and endpoint.service == name else None

    return own_write


def _add_proxy(app: web.Application, platform: Platform, settings: GatewaySettings, once: OnceOnly) -> None:
    proxied = [endpoint for endpoint in ENDPOINTS.values() if endpoint.service != platform.name]
    forwarder = Forwarder(settings.upstreams(), platform.signer)
    platform.on_stop(forwarder.close)
    add_routes(app, proxied, forwarder, _admitted, once)
