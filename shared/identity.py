"""Who is calling: Principal, the permission matrix, and the internal identity token.

The matrix is DECISIONS "Identity". The internal token is a JWT (EdDSA) bound to one audience; its `kid` names the
signer, and only the gateway may sign for anyone but itself. Verified tokens are remembered until they expire, so a
busy peer costs one signature check a minute. This module knows no HTTP and no store.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping
from typing import Any, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.contracts.constants import ADMIN, AUTHENTICATED, PUBLIC, SCOPES
from shared.contracts.identity import Role
from shared.errors import (
    AUTHENTICATION_REQUIRED,
    INSUFFICIENT_PERMISSIONS,
    INVALID_CREDENTIALS,
    TOKEN_EXPIRED,
    AuroraError,
)
from shared.keyring import KeyRing, SigningKey, service_of

PrincipalKind = Literal["user", "api_key", "service"]

_READ = frozenset(scope for scope in SCOPES if scope.endswith(":read"))
_OPERATED = ("alerts", "edr", "soar", "network")

#: role -> permissions (DECISIONS, "Identity"). `api_service` has only the scopes of its key.
ROLE_PERMISSIONS: Mapping[Role, frozenset[str]] = {
    "admin": frozenset(SCOPES),
    "analyst": frozenset(SCOPES) - {"system:write"},
    "operator": _READ | {f"{domain}:write" for domain in _OPERATED},
    "viewer": _READ,
    "api_service": frozenset(),
}

#: What each service may do in its own name: the least it needs.
SERVICE_PERMISSIONS: Mapping[str, frozenset[str]] = {
    "gateway": frozenset(SCOPES),
    "siem": frozenset(),
    "orchestrator": frozenset({"alerts:read", "alerts:write", "siem:read", "agents:read"}),
    "agents": frozenset({"alerts:read", "siem:read"}),
    # A bare request to an agent is worked on with its caller's own rights: without these it could read nothing.
    "operator": frozenset({"agents:read", "investigations:write", "alerts:read", "siem:read"}),
}
_LEEWAY_SECONDS = 5
_CACHE_SIZE = 4096


class Principal(msgspec.Struct, frozen=True):
    """An authenticated caller. `id` is stable and unique: `user_...`, an API key's id, or `service:<name>`."""

    id: str
    kind: PrincipalKind
    name: str
    role: Role
    permissions: frozenset[str]
    session_id: str | None = None

    def may(self, permission: str) -> bool:
        """Whether this principal passes an Endpoint's permission (PUBLIC, AUTHENTICATED, ADMIN or a scope)."""
        if permission in (PUBLIC, AUTHENTICATED):
            return True
        if permission == ADMIN:
            return self.role == "admin"
        return permission in self.permissions

    def require(self, permission: str) -> None:
        """Raises AURORA-4030, naming the permission that is missing."""
        if not self.may(permission):
            raise AuroraError(INSUFFICIENT_PERMISSIONS, {"required": permission})


def service_principal(name: str) -> Principal:
    """The principal of one of Aurora's own services."""
    permissions = SERVICE_PERMISSIONS.get(name, frozenset())
    return Principal(f"service:{name}", "service", name, "api_service", permissions)


def sign_claims(claims: Mapping[str, Any], kid: str, key: Ed25519PrivateKey) -> str:
    """A JWT (EdDSA) of these claims."""
    return jwt.encode(dict(claims), key, algorithm="EdDSA", headers={"kid": kid})


def read_claims(token: str, keys: Mapping[str, Ed25519PublicKey], audience: str) -> tuple[str, dict[str, Any]]:
    """`kid` and claims of a JWT that one of `keys` signed for `audience`.

    Raises AURORA-4011 when it is expired, 4012 for any other fault.
    """
    try:
        kid = str(jwt.get_unverified_header(token).get("kid", ""))
        claims: dict[str, Any] = jwt.decode(
            token,
            keys[kid],
            algorithms=["EdDSA"],
            audience=audience,
            issuer="aurora",
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "aud", "sub"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise AuroraError(TOKEN_EXPIRED) from error
    except (jwt.PyJWTError, KeyError) as error:
        raise AuroraError(INVALID_CREDENTIALS) from error
    return kid, claims


class Signer:
    """Signs internal identity tokens in the name of one service. `key` is PEM text, or a key that may be replaced."""

    def __init__(self, service: str, key: SigningKey | str) -> None:
        self.service = service
        self._source = SigningKey(key) if isinstance(key, str) else key
        self._key = self._source.current()
        self._cache: dict[tuple[Principal, str], tuple[float, str]] = {}

    def sign(self, principal: Principal, audience: str, ttl_seconds: int = 60) -> str:
        """A token that says `principal` to `audience` and to nobody else."""
        now, key = int(time.time()), self._source.current()
        claims: dict[str, Any] = {
            "iss": "aurora",
            "aud": audience,
            "sub": principal.id,
            "iat": now,
            "exp": now + ttl_seconds,
            "jti": uuid.uuid4().hex,
            "principal": msgspec.to_builtins(principal),
        }
        return sign_claims(claims, f"{self.service}.{key.name}", key.private)

    def token_for(self, principal: Principal, audience: str) -> str:
        """Like `sign` with 60 s, but reused while at least half of its life is left: signing costs 0.1 ms."""
        if (current := self._source.current()) is not self._key:
            self._key = current
            self._cache.clear()
        key = (principal, audience)
        cached = self._cache.get(key)
        now = time.monotonic()
        if cached is not None and cached[0] > now:
            return cached[1]
        token = self.sign(principal, audience)
        if len(self._cache) >= _CACHE_SIZE:
            self._cache.clear()
        self._cache[key] = (now + 30, token)
        return token

    def own_token(self, audience: str) -> str:
        """A token in this service's own name."""
        return self.token_for(service_principal(self.service), audience)


class Verifier:
    """Checks internal identity tokens for one audience. `keys` is a JWK set, or a ring whose keys may change."""

    def __init__(self, audience: str, keys: KeyRing | Mapping[str, Any]) -> None:
        self._audience = audience
        self._keys = keys if isinstance(keys, KeyRing) else KeyRing(keys)
        self._seen = Verified(self._keys)

    def verify(self, token: str) -> Principal:
        """The caller. Raises AURORA-4010 without a token, 4011 when it is expired, 4012 when it isn't ours."""
        if not token:
            raise AuroraError(AUTHENTICATION_REQUIRED)
        return self._seen.get(token) or self._seen.remember(token, *self._check(token))

    def _check(self, token: str) -> tuple[float, Principal]:
        kid, claims = read_claims(token, self._keys, self._audience)
        try:
            principal = msgspec.convert(claims["principal"], Principal)
        except (KeyError, msgspec.ValidationError) as error:
            raise AuroraError(INVALID_CREDENTIALS) from error
        service = service_of(kid)
        if service != "gateway" and principal != service_principal(service):
            raise AuroraError(INVALID_CREDENTIALS)
        return float(claims["exp"]), principal


class Verified:
    """Tokens whose signature was found good, by their SHA-256, until they expire or a key changes. Bounded."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._version = keys.version
        self._seen: dict[bytes, tuple[float, Principal]] = {}

    def get(self, token: str) -> Principal | None:
        """Whose token it is, None when it has to be verified. Raises AURORA-4011 for one that has expired since."""
        if (version := self._keys.version) != self._version:
            self._version = version
            self._seen.clear()
        digest = _digest(token)
        seen = self._seen.get(digest)
        if seen is None:
            return None
        if seen[0] > time.time():
            return seen[1]
        del self._seen[digest]
        raise AuroraError(TOKEN_EXPIRED)

    def expires(self, token: str) -> float | None:
        """When a token that is remembered ends, in epoch seconds."""
        seen = self._seen.get(_digest(token))
        return None if seen is None else seen[0]

    def remember(self, token: str, expires: float, principal: Principal) -> Principal:
        """Keeps what was verified; `expires` is in epoch seconds. Raises AURORA-4011 for one that is over already."""
        if expires <= time.time():
            raise AuroraError(TOKEN_EXPIRED)
        if len(self._seen) >= _CACHE_SIZE:
            self._seen.clear()
        self._seen[_digest(token)] = (expires, principal)
        return principal


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header; raises AURORA-4010 when there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuroraError(AUTHENTICATION_REQUIRED)
    return token.strip()
