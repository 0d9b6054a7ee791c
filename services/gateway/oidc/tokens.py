"""ID tokens: whether one of the provider's keys signed it. The one file that imports joserfc.

Nothing of a token is looked at before its signature holds, but for the name of the key that is said to have made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, RSAKey, import_key

from services.gateway.federated import Refused

__all__ = ["Key", "choose", "claims_of", "key_name", "keys_of"]

_MAX_KEYS = 100
_MAX_TOKEN = 64 * 1024
_RSA_BITS = 2048


def keys_of(jwks: Mapping[str, Any]) -> list[Key]:
    """The keys of a JWK set that may sign ID tokens: public ones of RSA (2048 bits and more) and of elliptic curves."""
    found: list[Key] = []
    members = jwks.get("keys")
    for member in members[:_MAX_KEYS] if isinstance(members, list) else []:
        if not isinstance(member, dict) or member.get("use", "sig") != "sig":
            continue
        try:
            key = import_key(member)
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # a set may hold what this version doesn't know
        strong = isinstance(key, ECKey) or (isinstance(key, RSAKey) and key.public_key.key_size >= _RSA_BITS)
        if strong:
            found.append(key)
    return found


def key_name(token: str) -> str | None:
    """The `kid` in the token's header. Raises Refused when it isn't a signed token at all."""
    if len(token) > _MAX_TOKEN:
        raise Refused("ID token: too long")
    try:
        name = jws.extract_compact(token.encode()).headers().get("kid")
    except (JoseError, ValueError) as error:
        raise Refused("ID token: malformed") from error
    return name if isinstance(name, str) else None


def choose(keys: Iterable[Key], name: str | None) -> Key | None:
    """The key of that name; without a name the only one there is."""
    candidates = [key for key in keys if name is None or key.get("kid") == name]
    return candidates[0] if len(candidates) == 1 else None


def claims_of(token: str, key: Key, algorithms: list[str]) -> dict[str, Any]:
    """The claims that `key` signed by one of `algorithms`. Raises Refused; the claims themselves are not judged."""
    registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
    try:
        return dict(jwt.decode(token, key, registry=registry).claims)
    except (JoseError, ValueError, TypeError) as error:
        raise Refused(f"ID token: {getattr(error, 'error', 'malformed')}") from error
