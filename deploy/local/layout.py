"""The data folder: where everything of one stack lives, who may run on it, and which format it has.

Owns the paths, the lock, the format number and the secrets' files. It knows no server and no process. Everything is
private to its owner: folders 0700, secrets 0600. As root the folder itself is 0711, since PostgreSQL, which refuses
to run as root, must be able to walk through it to its own part.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError, explain

#: Raise it when an older Aurora can't read what this one writes.
FORMAT = 1
#: Bytes that must be free to start: a day of ordinary logs, and room for each server's journal.
MINIMUM_FREE = 512 * 1024 * 1024
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The paths of one stack's data folder."""

    root: Path

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def runtime_file(self) -> Path:
        return self.root / "runtime.json"

    @property
    def ports_file(self) -> Path:
        return self.root / "ports.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def version_file(self) -> Path:
        return self.root / "version"

    def store(self, server: str) -> Path:
        """Where one server keeps its data."""
        return self.root / server

    def log(self, process: str) -> Path:
        """Where one process's output goes."""
        return self.logs / f"{process}.log"

    def prepare(self, minimum_free: int = MINIMUM_FREE) -> None:
        """Makes the folders and checks format and free space (bytes). Raises StackError before anything is written.

        Call it under the lock: what a killed process left in the scratch folder is removed.
        """
        try:
            self._check_format()
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self._check_space(minimum_free)
            shutil.rmtree(self.temporary, ignore_errors=True)
            for folder in (self.secrets, self.logs, self.temporary):
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)
            if not self.version_file.exists():
                write_private(self.version_file, f"{FORMAT}\n")
        except OSError as error:
            raise explain(error) from error

    def _check_format(self) -> None:
        if not self.version_file.exists():
            return
        text = self.version_file.read_text(encoding="utf-8").strip()
        if not text.isdecimal():
            raise StackError(f"{self.version_file} holds no format number: not an Aurora data folder, or damaged")
        if int(text) > FORMAT:
            raise StackError(
                f"{self.root} was written by a newer Aurora "
                f"(data format {text}, this one knows {FORMAT}): upgrade first"
            )

    def _check_space(self, minimum_free: int) -> None:
        disk = os.statvfs(self.root)
        free = disk.f_bavail * disk.f_frsize
        if free < minimum_free:
            raise StackError(
                f"the disk is full: {free // _MEBIBYTE} MiB free at {self.root}, "
                f"{minimum_free // _MEBIBYTE} MiB are needed"
            )

    def password(self, name: str) -> str:
        """The random password kept in secrets/<name>.password, made on first use (192 bits)."""
        file = self.password_file(name)
        if not file.exists():
            write_private(file, secrets.token_urlsafe(24) + "\n")
        return file.read_text(encoding="utf-8").strip()

    def password_file(self, name: str) -> Path:
        """The file of `password`."""
        return self.secrets / f"{name}.password"


def write_private(file: Path, text: str) -> None:
    """Writes a 0600 file in one step: a reader, or a crash, sees the old text or the new, never a part."""
    scratch = file.with_name(f".{file.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(file)


@contextmanager
def locked(folder: DataFolder) -> Iterator[bool]:
    """Holds the folder's lock; yields whether the last holder died without letting go.

    The kernel drops the lock with its process, so a stale file stops nobody. Raises StackError naming the pid of a
    living holder.
    """
    try:
        folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        stream = folder.lock_file.open("a+", encoding="utf-8")
    except OSError as error:
        raise explain(error) from error
    with stream:
        if not _acquire(stream.fileno()):
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise StackError(f"already running on {folder.root}, pid {holder}")
        stream.seek(0)
        died = bool(stream.read().strip())
        _replace(stream.fileno(), f"{os.getpid()}\n")
        yield died
        _replace(stream.fileno(), "")


def _acquire(descriptor: int) -> bool:
    # `holder_of` of another process may have it for an instant, so one refusal proves nothing.
    for attempt in range(5):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02 * attempt)
        else:
            return True
    return False


def holder_of(folder: DataFolder) -> int | None:
    """The pid of the supervisor that holds the folder now, or None."""
    try:
        with folder.lock_file.open("r", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = stream.read().strip()
                return int(text) if text.isdecimal() else None
            return None
    except FileNotFoundError:
        return None


def _replace(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
