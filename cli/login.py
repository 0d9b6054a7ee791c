"""`aurora login`: sign in at a stack elsewhere once; later commands with its --url need no password."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import click

from cli import logins
from cli.logins import Login
from cli.terminal import plain
from shared import config
from shared.client import Client
from shared.contracts.identity import CREATE_TOKEN, TokenRequest


@click.command("login")
@click.argument("url", metavar="URL")
@click.option("--username", prompt="User name", help="Who signs in.  [default: it is asked for]")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The password, on its first line.  [default: it is asked for]",
)
def command(url: str, username: str, password_file: Path | None) -> None:
    """Sign in at the gateway URL, and stay signed in for as long as commands come within 14 days of one another."""
    _require_safe(url)
    if password_file is None:
        password: str = click.prompt("Password", hide_input=True, err=True)
    else:
        password = config.read_secret(password_file)
    login = asyncio.run(_sign_in(url.rstrip("/"), username, password))
    file = logins.file_of(login.gateway)
    with logins.held(file):
        logins.write(file, login)
    click.echo(f"signed in at {plain(login.gateway)} as {plain(username)}", err=True)


async def _sign_in(url: str, username: str, password: str) -> Login:
    client = Client(url)
    try:
        answer = await client.call(CREATE_TOKEN, body=TokenRequest(username=username, password=password))
    finally:
        await client.close()
    return Login(url, username, answer.access_token, time.time() + answer.expires_in, answer.refresh_token)


def _require_safe(url: str) -> None:
    """A password doesn't travel in the clear."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if parts.scheme != "http" or not loopback:
        raise click.BadParameter("must begin with https://, or with http:// on this machine", param_hint="URL")
