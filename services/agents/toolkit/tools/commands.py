"""The tool that takes a command line apart."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.agents.toolkit.decoding import MAX_INPUT, decode
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool


class CommandArguments(msgspec.Struct, frozen=True):
    """A command line as it was logged."""

    command: Annotated[str, Meta(max_length=MAX_INPUT)]


async def _decode_command(arguments: CommandArguments, _sources: Sources) -> Any:
    return {"layers": decode(arguments.command)}


DECODE_COMMAND = Tool("decode_command", "Decode what a command line hides", CommandArguments, None, _decode_command)
