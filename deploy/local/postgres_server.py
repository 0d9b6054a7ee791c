"""PostgreSQL of the local stack: made once with initdb, then run as a direct child on a loopback port with SCRAM.

Knows no service; roles and schemas are shared/migrate.py's. There is no unix socket: one way in is enough, and socket
paths have a length limit that data folders don't.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from deploy.local import wheels
from deploy.local.account import Account, own_folder, reachable_home, unprivileged
from deploy.local.errors import StackError
from deploy.local.layout import DataFolder, write_private
from deploy.local.ports import HOST
from deploy.local.process import Command, die_with_parent
from deploy.local.readiness import postgres_serves

ADMIN = "aurora_admin"
DATABASE = "postgres"
_ENVIRONMENT: Mapping[str, str] = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
_INITDB_SECONDS = 60
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "jit": "off",  # compiles for longer than our short queries run
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u ",
}


def dsn(role: str, port: int, passfile: Path) -> str:
    """A DSN without a secret: libpq's and asyncpg's `passfile` parameter names where it is."""
    # No TLS on loopback; saying so saves each client a question, and a look into its home folder.
    query = _query([("sslmode", "disable"), ("passfile", str(passfile))])
    return f"postgresql://{role}@{HOST}:{port}/{DATABASE}?{query}"


def with_role(admin_dsn: str, role: str, passfile: Path) -> str:
    """The same server and database for another role."""
    parts = urlsplit(admin_dsn)
    address = parts.netloc.rpartition("@")[2]
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("passfile", "user", "password")]
    query.append(("passfile", str(passfile)))
    return urlunsplit(parts._replace(netloc=f"{role}@{address}", query=_query(query)))


def _query(parameters: list[tuple[str, str]]) -> str:
    # libpq doesn't read "+" as a space.
    return urlencode(parameters, quote_via=quote, safe="/")


def passfile(folder: DataFolder, role: str, password: str) -> Path:
    """Writes the role's password in libpq's passfile form and returns the file."""
    file = folder.secrets / f"{role}.pgpass"
    name, secret = (text.replace("\\", "\\\\").replace(":", "\\:") for text in (role, password))
    write_private(file, f"*:*:*:{name}:{secret}\n")
    return file


def role_of(service: str) -> str:
    """The role that shared/migrate.py's `provision` makes for a service, and the name of its secret."""
    return f"aurora_{service}"


def command(folder: DataFolder, port: int) -> Command:
    """How to run it; makes the database cluster on first use. Raises StackError."""
    account = unprivileged()
    store = folder.store("postgres")
    own_folder(store, account)
    home = reachable_home(wheels.postgres_home(), account, folder.root / "postgres-program")
    cluster = store / "data"
    if not cluster.exists():
        _initialise(home, store, cluster, folder.password(ADMIN), account)
    settings = [f"-c{name}={value}" for name, value in {**_SETTINGS, "port": str(port)}.items()]
    return Command(
        name="postgres",
        argv=(str(home / "bin" / "postgres"), "-D", str(cluster), *settings),
        ready=lambda: postgres_serves(port),
        log=folder.log("postgres"),
        url=f"postgresql://{HOST}:{port}/{DATABASE}",
        environment=_ENVIRONMENT,
        cwd=store,
        account=account,
        prepare=lambda: _forget_dead_postmaster(cluster),
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        death_signal=signal.SIGQUIT,  # "immediate": takes its own children along
    )


def _initialise(home: Path, store: Path, cluster: Path, password: str, account: Account | None) -> None:
    # In a scratch folder first: a cluster that exists is a whole one, whenever we are killed.
    scratch = store / "new"
    shutil.rmtree(scratch, ignore_errors=True)
    secret = store / "initial.password"
    write_private(secret, password + "\n")
    if account:
        os.chown(secret, *account)
    argv = [
        str(home / "bin" / "initdb"),
        f"--pgdata={scratch}",
        f"--username={ADMIN}",
        f"--pwfile={secret}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--locale=C.UTF-8",
        "--lc-messages=C",
        "--data-checksums",
    ]
    try:
        done = subprocess.run(
            argv,
            env=dict(_ENVIRONMENT),
            cwd=store,
            capture_output=True,
            text=True,
            timeout=_INITDB_SECONDS,
            check=False,
            umask=0o077,
            user=account[0] if account else None,
            group=account[1] if account else None,
            extra_groups=[] if account else None,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(f"initdb did not finish within {_INITDB_SECONDS} s") from error
    finally:
        secret.unlink(missing_ok=True)
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or ["no reason given"]
        raise StackError(f"initdb failed: {words[-1][:300]}")
    scratch.replace(cluster)


def _forget_dead_postmaster(cluster: Path) -> None:
    """Removes a pid file whose process isn't PostgreSQL any more.

    We hold the folder's lock, so a pid of another program is one that was used again, after a reboot for example;
    PostgreSQL itself would refuse to start because of it.
    """
    file = cluster / "postmaster.pid"
    try:
        pid = int(file.read_text(encoding="utf-8").split("\n", 1)[0])
        program = Path(f"/proc/{pid}/exe").readlink().name
    except (FileNotFoundError, ValueError):
        return  # no file, or no such process: PostgreSQL sorts both out
    except PermissionError:
        program = "another account's"
    if not program.startswith("postgres"):
        file.unlink(missing_ok=True)
