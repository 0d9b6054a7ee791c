"""`aurora users`: accounts, for administrators. Passwords come from a file or are asked for, never as arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from cli import options, session
from cli.paging import every
from cli.session import Session
from cli.terminal import output, plain, print_json, safe, table
from shared import config
from shared.contracts.identity import Role
from shared.contracts.users import (
    CHANGE_USER,
    CREATE_USER,
    DELETE_USER,
    LIST_USERS,
    RESET_PASSWORD,
    ChangeUser,
    CreateUser,
    ResetPassword,
    User,
    UserQuery,
)
from shared.contracts.wire import format_time

T = TypeVar("T")
_ROLE = click.Choice(get_args(Role))
_password_file = click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The password, on its first line.  [default: it is asked for]",
)


@click.group("users")
def command() -> None:
    """User accounts."""


@command.command("list")
@click.option("--role", type=_ROLE)
@click.option("--disabled/--enabled", default=None, help="Only accounts that may not, or may, sign in.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@options.data_dir
@options.url
@options.as_json
def list_(role: Role | None, disabled: bool | None, limit: int, data_dir: Path, url: str | None, as_json: bool) -> None:
    """List users, the newest first."""
    query = UserQuery(role=role, disabled=disabled)
    users = _run(data_dir, url, lambda opened: every(opened, LIST_USERS, query, limit=limit))
    if as_json:
        for user in users:
            print_json(user)
        return
    rows = table("user name", "role", "state", "e-mail", "name", "last sign-in", "id")
    for user in users:
        last = "never" if user.last_login_at is None else format_time(user.last_login_at)
        state = "disabled" if user.disabled else "enabled"
        rows.add_row(safe(user.username), user.role, state, safe(user.email or "-"), safe(user.name), last, user.id)
    output().print(rows)


@command.command("create")
@click.argument("username")
@click.option("--role", type=_ROLE, required=True)
@click.option("--email", help="For signing in by e-mail address.")
@click.option("--name", help="As it is shown.  [default: the user name]")
@_password_file
@click.option("--no-password", is_flag=True, help="The user signs in by an identity provider, or never.")
@options.data_dir
@options.url
@options.as_json
def create(
    username: str,
    role: Role,
    email: str | None,
    name: str | None,
    password_file: Path | None,
    no_password: bool,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Make an account."""
    password = None if no_password else _password(password_file)
    asked = CreateUser(username=username, role=role, email=email, name=name, password=password)
    user = _run(data_dir, url, lambda opened: opened.call(CREATE_USER, body=asked))
    _tell(user, as_json)


@command.command("role")
@click.argument("username")
@click.argument("role", type=_ROLE)
@options.data_dir
@options.url
@options.as_json
def role_(username: str, role: Role, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Give a user another role; its sessions end."""
    _tell(_change(data_dir, url, username, ChangeUser(role=role)), as_json)


@command.command("disable")
@click.argument("username")
@options.data_dir
@options.url
@options.as_json
def disable(username: str, data_dir: Path, url: str | None, as_json: bool) -> None:
    """End a user's sessions and API keys at once, and let it sign in no more."""
    _tell(_change(data_dir, url, username, ChangeUser(disabled=True)), as_json)


@command.command("enable")
@click.argument("username")
@options.data_dir
@options.url
@options.as_json
def enable(username: str, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Let a disabled user sign in again; what was ended stays ended."""
    _tell(_change(data_dir, url, username, ChangeUser(disabled=False)), as_json)


@command.command("delete")
@click.argument("username")
@options.data_dir
@options.url
def delete(username: str, data_dir: Path, url: str | None) -> None:
    """Delete an account, with its sessions and API keys."""
    _run(data_dir, url, lambda opened: opened.call(DELETE_USER, path={"username": username}))
    click.echo("deleted", err=True)


@command.command("password")
@click.argument("username")
@_password_file
@options.data_dir
@options.url
def password_(username: str, password_file: Path | None, data_dir: Path, url: str | None) -> None:
    """Set a user's password; its sessions end."""
    body = ResetPassword(password=_password(password_file))
    _run(data_dir, url, lambda opened: opened.call(RESET_PASSWORD, path={"username": username}, body=body))
    click.echo("password set", err=True)


def _change(data_dir: Path, url: str | None, username: str, asked: ChangeUser) -> User:
    return _run(data_dir, url, lambda opened: opened.call(CHANGE_USER, path={"username": username}, body=asked))


def _run(data_dir: Path, url: str | None, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        async with session.opened(session.find(data_dir, url)) as opened:
            return await work(opened)

    return asyncio.run(run())


def _password(file: Path | None) -> str:
    if file is not None:
        return config.read_secret(file)
    given: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return given


def _tell(user: User, as_json: bool) -> None:
    if as_json:
        print_json(user)
        return
    state = "disabled" if user.disabled else "enabled"
    click.echo(f"{plain(user.username)}: {user.role}, {state}, {user.id}", err=True)
