"""Sign-ins at stacks elsewhere that are kept between commands, one 0600 file each. Passwords are never kept."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from deploy.local.layout import write_private
from shared.config import default_config_dir


class Login(msgspec.Struct):
    """Who is signed in where. `expires_at` is the access token's end, in epoch seconds."""

    gateway: str
    username: str
    access_token: str
    expires_at: float
    refresh_token: str


def file_of(url: str) -> Path:
    """Where the sign-in at this gateway is kept, if there is one."""
    name = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
    return default_config_dir() / f"login-{name}.json"


def read(file: Path) -> Login | None:
    """The sign-in of a file; None when there is none."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Login)
    except (OSError, msgspec.DecodeError):
        return None


def write(file: Path, login: Login) -> None:
    """Keeps a sign-in."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, msgspec.json.encode(login).decode() + "\n")


def forget(file: Path) -> None:
    """Keeps it no more."""
    file.unlink(missing_ok=True)


@contextmanager
def held(file: Path) -> Iterator[None]:
    """One command at a time: a refresh token that is used twice ends its session."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
