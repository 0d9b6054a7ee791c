"""Who has an account: the shape of a user, how names are compared, how a password is hashed. No I/O, no randomness."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime

import bcrypt

from shared.contracts.identity import Role

BCRYPT_COST = 12
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class User:
    """One account, without its password's hash."""

    id: str
    username: str
    email: str | None
    name: str
    role: Role
    created_at: datetime
    last_login_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sign-in is checked against. No hash: this account has no password here."""

    user: User
    password_hash: str | None
    disabled: bool


def comparison_key(name: str) -> str:
    """The form in which user names and e-mail addresses are compared: without case, without look-alike spellings."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def user_id(random: bytes) -> str:
    """`user_` and the base32 of 128 random bits. Raises ValueError for another number of bits."""
    if len(random) != _ID_BYTES:
        raise ValueError("a user id takes 16 random bytes")
    return "user_" + base64.b32encode(random).decode().rstrip("=").lower()


def hash_password(password: str, *, cost: int = BCRYPT_COST) -> str:
    """bcrypt of the pre-hashed password, with a fresh salt. Takes about 0.3 s at cost 12."""
    return bcrypt.hashpw(_prehash(password), bcrypt.gensalt(cost)).decode()


def password_matches(password: str, hashed: str) -> bool:
    """Whether the password is the hashed one, in the time that hashing takes, whatever the answer."""
    return bcrypt.checkpw(_prehash(password), hashed.encode())


def _prehash(password: str) -> bytes:
    # bcrypt reads 72 bytes and stops at a NUL. Base64 of a digest is 44 bytes and has none.
    normalised = unicodedata.normalize("NFC", password)
    return base64.b64encode(hashlib.sha256(normalised.encode("utf-8", "surrogatepass")).digest())
