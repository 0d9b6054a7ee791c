"""Who has an account: the shape of a user, how names are compared, how a password is hashed. No I/O, no randomness."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

import bcrypt

from shared.contracts.identity import Role

#: In paths this stands for whoever asks, so nobody is called so.
MYSELF = "me"
_ID_BYTES = 16
_LONGEST_EMAIL = 254
_LONGEST_GIVEN_NAME = 100
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]+@[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]+")
#: What the API page shows in its samples, where its publisher hid an address: taken, so that they run as they are.
_HIDDEN_ADDRESS = "[email protected]"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._@+-]+")


@dataclass(frozen=True, slots=True)
class User:
    """One account, without its password's hash. `number` orders lists; 0 until it is stored."""

    id: str
    username: str
    email: str | None
    name: str
    role: Role
    created_at: datetime
    last_login_at: datetime | None = None
    disabled_at: datetime | None = None
    has_password: bool = False
    number: int = 0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sign-in is checked against. No hash: this account has no password here."""

    user: User
    password_hash: str | None


@dataclass(frozen=True, slots=True)
class Filters:
    """Which users are listed: those for whom everything given holds. `part` is compared as names are."""

    role: Role | None = None
    disabled: bool | None = None
    part: str | None = None


def comparison_key(name: str) -> str:
    """The form in which user names and e-mail addresses are compared: without case, without look-alike spellings."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def user_id(random: bytes) -> str:
    """`user_` and the base32 of 128 random bits. Raises ValueError for another number of bits."""
    if len(random) != _ID_BYTES:
        raise ValueError("a user id takes 16 random bytes")
    return "user_" + base64.b32encode(random).decode().rstrip("=").lower()


def clean_username(text: str) -> str:
    """The name as it is kept. Raises ValueError for the one that stands for whoever asks."""
    name = text.strip()
    if comparison_key(name) == MYSELF:
        raise ValueError("is reserved")
    return name


def clean_email(text: str) -> str:
    """The address as it is kept. Raises ValueError when it can't be one."""
    address = unicodedata.normalize("NFKC", text).strip()
    if address == _HIDDEN_ADDRESS:
        return address
    local, at, host = address.rpartition("@")
    if not (at and local and host) or len(address) > _LONGEST_EMAIL or not _EMAIL.fullmatch(address):
        raise ValueError("is not an e-mail address")
    return address


def username_from(text: str, suffix: str = "") -> str:
    """A name that an account can have, as near as possible to what an identity provider calls its user."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = _NOT_IN_NAMES.sub("-", plain).strip("-.@+")[:_LONGEST_GIVEN_NAME] or "user"
    return f"{name}-{suffix}" if suffix or comparison_key(name) == MYSELF else name


def hash_password(password: str, *, cost: int) -> str:
    """bcrypt of the pre-hashed password, with a fresh salt. Takes about 0.3 s at cost 12."""
    return bcrypt.hashpw(_prehash(password), bcrypt.gensalt(cost)).decode()


def password_matches(password: str, hashed: str) -> bool:
    """Whether the password is the hashed one, in the time that hashing takes, whatever the answer."""
    return bcrypt.checkpw(_prehash(password), hashed.encode())


def _prehash(password: str) -> bytes:
    # bcrypt reads 72 bytes and stops at a NUL. Base64 of a digest is 44 bytes and has none.
    normalised = unicodedata.normalize("NFC", password)
    return base64.b64encode(hashlib.sha256(normalised.encode("utf-8", "surrogatepass")).digest())
