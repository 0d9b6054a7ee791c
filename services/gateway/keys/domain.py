"""What an API key is: its text, how it is kept, how each product's clients present it, and what it may do. No I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.contracts.constants import SCOPES
from shared.contracts.identity import Role
from shared.errors import INVALID_CREDENTIALS, AuroraError, field_error
from shared.identity import ROLE_PERMISSIONS, Principal

PREFIX = "aur_"
KEY_HEADER = "X-API-Key"
#: Longer than any key in any of its wrappings.
_LONGEST = 1024
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Presented:
    """A key that a request claims to have."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept. `previous_hash` is of the secret before the present one, taken until `previous_until`."""

    id: str
    user_id: str
    name: str
    scopes: tuple[str, ...]
    secret_hash: bytes
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    rotated_at: datetime | None = None
    previous_hash: bytes | None = None
    previous_until: datetime | None = None

    def takes(self, secret: str, now: datetime) -> bool:
        """Whether this is the key's secret, or the one before while that is still taken."""
        if matches(secret, self.secret_hash):
            return True
        if self.previous_hash is None or self.previous_until is None or self.previous_until <= now:
            return False
        return matches(secret, self.previous_hash)

    def is_over(self, now: datetime) -> bool:
        """Whether the key has expired."""
        return self.expires_at is not None and self.expires_at <= now


def text_of(key_id: str, secret: str) -> str:
    """The key as its owner gets it, once: `aur_<id without dashes>_<secret>`."""
    return f"{PREFIX}{key_id.replace('-', '')}_{secret}"


def secret_hash(secret: str) -> bytes:
    """How a secret is kept. One SHA-256 is enough, since nobody can guess 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def matches(secret: str, kept: bytes) -> bool:
    """Whether this is the secret, in a time that doesn't tell how nearly it is."""
    return hmac.compare_digest(secret_hash(secret), kept)


def presented(headers: Mapping[str, str]) -> Presented | None:
    """The API key of a request, None when it has none. `headers` compares names without case.

    X-API-Key, and of Authorization: `Bearer`, `Splunk` and `ApiKey` with the key itself; `ApiKey` with base64 of the
    key or of `id:secret`; `Basic` with the key, or the id's secret, as password. Raises AURORA-4012 for a key that
    can't be read.
    """
    if KEY_HEADER in headers:
        return _whole(headers[KEY_HEADER].strip())
    scheme, _, text = headers.get("Authorization", "").partition(" ")
    text = text.strip()
    match scheme.lower():
        case "bearer":
            return _whole(text) if text.startswith(PREFIX) else None
        case "splunk":
            return _whole(text) if text else None
        case "apikey":
            return _pair_or_whole(text) if text else None
        case "basic":
            return _password(text)
    return None


def _whole(text: str) -> Presented:
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix + "_" != PREFIX or not secret or len(text) > _LONGEST:
        raise AuroraError(INVALID_CREDENTIALS)
    return Presented(_id(key_id), secret)


def _pair_or_whole(text: str) -> Presented:
    if text.startswith(PREFIX):
        return _whole(text)
    decoded = _decoded(text)
    if decoded.startswith(PREFIX):
        return _whole(decoded)
    key_id, _, secret = decoded.partition(":")
    if secret.startswith(PREFIX):
        return _whole(secret)
    return Presented(_id(key_id), secret)


def _password(text: str) -> Presented | None:
    """A name and a password that aren't a key's are nobody's: people sign in at the token endpoint."""
    try:
        user, _, password = _decoded(text).partition(":")
    except AuroraError:
        return None
    if password.startswith(PREFIX):
        return _whole(password)
    key_id = parse_id(user)
    return None if key_id is None else Presented(key_id, password)


def _decoded(text: str) -> str:
    if len(text) > _LONGEST:
        raise AuroraError(INVALID_CREDENTIALS)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise AuroraError(INVALID_CREDENTIALS) from error


def _id(text: str) -> str:
    key_id = parse_id(text)
    if key_id is None:
        raise AuroraError(INVALID_CREDENTIALS)
    return key_id


def parse_id(text: str) -> str | None:
    """A key's id in the form it is kept in, from a UUID with dashes or without; None for anything else."""
    digits = text.lower().replace("-", "")
    if _ID.fullmatch(digits) is None:
        return None
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def granted(asked: Iterable[str], creator: Principal) -> tuple[str, ...]:
    """The scopes of a new key, each once. Raises AURORA-4220 for one that its creator hasn't, or that there isn't."""
    scopes = tuple(dict.fromkeys(asked))
    for number, scope in enumerate(scopes):
        if scope not in SCOPES:
            raise field_error(f"body.scopes[{number}]", "is not a scope")
        if scope not in creator.permissions:
            raise field_error(f"body.scopes[{number}]", "is beyond what you may do yourself")
    return scopes


def rotated(key: Key, new_hash: bytes, now: datetime, grace_seconds: int) -> Key:
    """The key with a new secret. Of the secrets before only the latest is taken on, and only with a grace."""
    until = now + timedelta(seconds=grace_seconds) if grace_seconds else None
    previous = key.secret_hash if grace_seconds else None
    return replace(key, secret_hash=new_hash, rotated_at=now, previous_hash=previous, previous_until=until)


def principal_of(key: Key, owner_role: Role) -> Principal:
    """The key as a caller: what it was given, as far as its owner may do that today.

    It stands as a session of its own, so that revoking it is looked up as signing out is.
    """
    permissions = frozenset(key.scopes) & ROLE_PERMISSIONS[owner_role]
    return Principal(key.id, "api_key", key.name, "api_service", permissions, key.id)
