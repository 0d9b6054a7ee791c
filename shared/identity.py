"""Who is calling: Principal, the permission matrix, and the internal identity token.

The matrix is DECISIONS "Identity". The internal token is a JWT (EdDSA) bound to one audience; its `kid` names the
signer, and only the gateway may sign for anyone but itself. Verified tokens are remembered until they expire, so a
busy peer costs one signature check a minute. This module knows no HTTP and no store.
"""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from collections.abc import Mapping
from typing import Any, Literal

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from shared.contracts.constants import ADMIN, AUTHENTICATED, PUBLIC, SCOPES
from shared.contracts.identity import Role
from shared.errors import (
    AUTHENTICATION_REQUIRED,
    INSUFFICIENT_PERMISSIONS,
    INVALID_CREDENTIALS,
    TOKEN_EXPIRED,
    AuroraError,
)

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


def new_private_key() -> str:
    """A new Ed25519 key as PEM (PKCS 8)."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def load_private_key(pem: str) -> Ed25519PrivateKey:
    """An Ed25519 key from PEM (PKCS 8). Raises ValueError for anything else."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("not an Ed25519 private key in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an Ed25519 private key in PEM form")
    return key


def public_jwk(kid: str, private_key_pem: str) -> dict[str, str]:
    """The public half as a JWK (RFC 8037)."""
    raw = load_private_key(private_key_pem).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x}


def thumbprint(private_key_pem: str) -> str:
    """A key's own name: the JWK thumbprint of its public half (RFC 7638)."""
    jwk = public_jwk("", private_key_pem)
    members = ",".join(f'"{name}":"{jwk[name]}"' for name in ("crv", "kty", "x"))
    return base64.urlsafe_b64encode(hashlib.sha256(f"{{{members}}}".encode()).digest()).rstrip(b"=").decode()


def keys_of(jwks: Mapping[str, Any]) -> dict[str, Ed25519PublicKey]:
    """kid -> key of a JWK set. Raises ValueError for anything but Ed25519 keys."""
    keys = {}
    for jwk in jwks["keys"]:
        if jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519":
            raise ValueError("only Ed25519 keys are accepted")
        raw = base64.urlsafe_b64decode(jwk["x"] + "=" * (-len(jwk["x"]) % 4))
        keys[str(jwk["kid"])] = Ed25519PublicKey.from_public_bytes(raw)
    return keys


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
    """Signs internal identity tokens in the name of one service."""

    def __init__(self, kid: str, private_key_pem: str) -> None:
        self.kid = kid
        self._key = load_private_key(private_key_pem)
        self._cache: dict[tuple[Principal, str], tuple[float, str]] = {}

    def sign(self, principal: Principal, audience: str, ttl_seconds: int = 60) -> str:
        """A token that says `principal` to `audience` and to nobody else."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": "aurora",
            "aud": audience,
            "sub": principal.id,
            "iat": now,
            "exp": now + ttl_seconds,
            "jti": uuid.uuid4().hex,
            "principal": msgspec.to_builtins(principal),
        }
        return sign_claims(claims, self.kid, self._key)

    def token_for(self, principal: Principal, audience: str) -> str:
        """Like `sign` with 60 s, but reused while at least half of its life is left: signing costs 0.1 ms."""
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
        return self.token_for(service_principal(self.kid), audience)


class Verifier:
    """Checks internal identity tokens for one audience."""

    def __init__(self, audience: str, jwks: Mapping[str, Any]) -> None:
        self._audience = audience
        self._keys = keys_of(jwks)
        self._seen: dict[str, tuple[float, Principal]] = {}

    def verify(self, token: str) -> Principal:
        """The caller. Raises AURORA-4010 without a token, 4011 when it is expired, 4012 when it isn't ours."""
        if not token:
            raise AuroraError(AUTHENTICATION_REQUIRED)
        seen = self._seen.get(token)
        if seen is not None:
            if seen[0] > time.time():
                return seen[1]
            del self._seen[token]
            raise AuroraError(TOKEN_EXPIRED)
        expires, principal = self._check(token)
        if len(self._seen) >= _CACHE_SIZE:
            self._seen.clear()
        self._seen[token] = (expires, principal)
        return principal

    def _check(self, token: str) -> tuple[float, Principal]:
        kid, claims = read_claims(token, self._keys, self._audience)
        try:
            principal = msgspec.convert(claims["principal"], Principal)
        except (KeyError, msgspec.ValidationError) as error:
            raise AuroraError(INVALID_CREDENTIALS) from error
        if kid != "gateway" and principal != service_principal(kid):
            raise AuroraError(INVALID_CREDENTIALS)
        return float(claims["exp"]), principal


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header; raises AURORA-4010 when there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuroraError(AUTHENTICATION_REQUIRED)
    return token.strip()
