"""`aurora logout`: end what `aurora login` began."""

from __future__ import annotations

import asyncio

import click

from cli import logins, session
from shared.contracts.identity import LOGOUT, LogoutQuery
from shared.errors import AuroraError


@click.command("logout")
@click.argument("url", metavar="URL")
def command(url: str) -> None:
    """End the session at the gateway URL."""
    file = logins.file_of(url)
    login = logins.read(file)
    if login is None:
        click.echo("not signed in there", err=True)
        return
    target = session.Target(login.gateway, login.username, file, is_login=True)
    try:
        asyncio.run(_end(target))
    finally:
        # Whether or not the gateway could be told: nobody finds the session here any more.
        logins.forget(file)
    click.echo("signed out", err=True)


async def _end(target: session.Target) -> None:
    async with session.opened(target) as opened:
        try:
            await opened.call(LOGOUT, query=LogoutQuery())
        except AuroraError as error:
            if error.code not in session.REFUSED:
                raise
