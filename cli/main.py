"""`aurora`: the command line. Finds a command by its name in cli/<name>.py and tells failures as one line.

A command module has a click command named `command`; it is imported only when it is called or listed. To add one,
write the module and put its name into COMMANDS.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from cli.failure import Failure, line_of
from deploy.local.errors import StackError
from shared.config import ConfigError
from shared.errors import AuroraError

COMMANDS: tuple[str, ...] = (
    "up",
    "status",
    "down",
    "demo",
    "ingest",
    "rules",
    "alerts",
    "search",
    "hunts",
    "intel",
    "investigate",
    "samples",
    "investigations",
    "replay",
    "agents",
    "keys",
    "users",
    "login",
    "logout",
    "identity",
    "audit",
    "settings",
    "tail",
)
#: Commands whose module has another name: cli/replay is the demo's player of recordings.
_MODULES = {"replay": "replay_investigation"}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"cli.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (StackError, ConfigError) as error:
            raise Failure(str(error)) from error
        except AuroraError as error:
            raise Failure(line_of(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Aurora: an open, self-hosted security operations centre."""


if __name__ == "__main__":
    main()
