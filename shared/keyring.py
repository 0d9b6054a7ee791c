"""Ed25519 keys, private and public, and how a running process follows when they are replaced.

A file that holds keys is looked at again while it is used, once a second at most, and at once for a key id that isn't
known: no restart is needed. What can't be read leaves the keys as they were. It knows no token and nobody's rights.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

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

from shared.log import get_logger

T = TypeVar("T")
LOOK_SECONDS = 1.0
_log = get_logger("keyring")


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


def service_kid(service: str, private_key_pem: str) -> str:
    """The id of a service's key: it names the service, and which of its keys."""
    return f"{service}.{thumbprint(private_key_pem)}"


def service_of(kid: str) -> str:
    """Whose key this is."""
    return kid.partition(".")[0]


def service_jwk(service: str, private_key_pem: str) -> dict[str, str]:
    """The public half of a service's key as a JWK."""
    return public_jwk(service_kid(service, private_key_pem), private_key_pem)


def keys_of(jwks: Mapping[str, Any]) -> dict[str, Ed25519PublicKey]:
    """kid -> key of a JWK set. Raises ValueError for anything but Ed25519 keys."""
    keys = {}
    try:
        for jwk in jwks["keys"]:
            if jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519":
                raise ValueError("only Ed25519 keys are accepted")
            raw = base64.urlsafe_b64decode(jwk["x"] + "=" * (-len(jwk["x"]) % 4))
            keys[str(jwk["kid"])] = Ed25519PublicKey.from_public_bytes(raw)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a JWK set") from error
    return keys


def living(jwks: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    """The JWKs of a set that aren't over: `exp`, in epoch seconds, is when a key that was replaced retires."""
    return [jwk for jwk in jwks["keys"] if jwk.get("exp", now + 1) > now]


class _Watched(Generic[T]):
    """What a file says, read again once it is another."""

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._stamp = self._stamp_now()
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._value = self._read()

    def value(self, *, at_once: bool = False) -> T:
        """The same object until the file changes."""
        now = time.monotonic()
        if now < self._look_at and not at_once:
            return self._value
        self._look_at = now + LOOK_SECONDS
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._value = self._read()
                _log.info("keys read anew", file=self._path.name)
            except ValueError as error:
                _log.warning("keys stay as they were", file=self._path.name, reason=str(error))
        return self._value

    def _read(self) -> T:
        try:
            return self._parse(self._path.read_text(encoding="utf-8").strip())
        except OSError as error:
            raise ValueError(f"the key file {self._path.name} can't be read") from error

    def _stamp_now(self) -> object:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _parse_jwks(text: str) -> dict[str, Any]:
    try:
        jwks = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError("not a JWK set") from error
    keys_of(jwks)
    return jwks


@dataclass(frozen=True, slots=True, eq=False)
class LoadedKey:
    """A private key that is signed with. `name` is its thumbprint, `jwk` its public half under that name."""

    private: Ed25519PrivateKey
    name: str
    jwk: dict[str, str]


def _load(pem: str) -> LoadedKey:
    name = thumbprint(pem)
    return LoadedKey(load_private_key(pem), name, public_jwk(name, pem))


class SigningKey:
    """A private key, of PEM text or of the file that holds it.

    Raises ValueError when it can't be read at the start.
    """

    def __init__(self, source: Path | str) -> None:
        self._current: Callable[[], LoadedKey]
        if isinstance(source, Path):
            self._current = _Watched(source, _load).value
        else:
            loaded = _load(source)
            self._current = lambda: loaded

    def current(self) -> LoadedKey:
        """The key to sign with: the same object until another one takes its place."""
        return self._current()


class KeyRing(Mapping[str, Ed25519PublicKey]):
    """kid -> public key, of a JWK set or of the file that holds one. Keys retire at their `exp`.

    `own` is a key that is in the ring whatever the set says, under its thumbprint. Raises ValueError when the file
    can't be read at the start.
    """

    def __init__(self, source: Path | Mapping[str, Any], own: SigningKey | None = None) -> None:
        self._file = _Watched(source, _parse_jwks) if isinstance(source, Path) else None
        self._set: Mapping[str, Any] = {"keys": []} if isinstance(source, Path) else source
        self._signing = own
        self._own: LoadedKey | None = None
        self._jwks: list[dict[str, Any]] = []
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._until = 0.0
        self._version = 0
        self._follow()

    @property
    def version(self) -> int:
        """Another number after every change: what was verified with an older one must be verified again."""
        self._follow()
        return self._version

    @property
    def jwks(self) -> dict[str, Any]:
        """The keys as a JWK set, one's own first."""
        self._follow()
        return {"keys": list(self._jwks)}

    def __getitem__(self, kid: str) -> Ed25519PublicKey:
        self._follow(at_once=kid not in self._keys)
        return self._keys[kid]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def _follow(self, *, at_once: bool = False) -> None:
        told = self._set if self._file is None else self._file.value(at_once=at_once)
        own = None if self._signing is None else self._signing.current()
        now = time.time()
        if told is self._set and own is self._own and now < self._until:
            return
        self._set, self._own = told, own
        left = living(told, now)
        if own is not None:
            left = [dict(own.jwk), *(jwk for jwk in left if jwk["kid"] != own.name)]
        self._jwks, self._keys = left, keys_of({"keys": left})
        self._until = min((jwk["exp"] for jwk in left if "exp" in jwk), default=float("inf"))
        self._version += 1
