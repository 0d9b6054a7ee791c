"""Values in commands: quoted for the shell that the command is meant for, so that a value stays one argument. Pure.

Values are attackers' text. What can't be carried safely at all gets no command: hidden characters act when a line is
pasted into a terminal, a leading dash is an option, and many PowerShell parameters take wildcards.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from typing import Literal

#: `any` is for commands that people run where they sit, whatever their shell.
Shell = Literal["posix", "powershell", "any"]
_LONGEST = 1024
#: All of them end a string in single quotes of PowerShell.
_SINGLE_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")
_POWERSHELL_SPECIAL = re.compile(r"""[*?\[\]`"]""")


def carries(value: str, shell: Shell) -> bool:
    """Whether a command may hold the value."""
    if not value.strip() or len(value) > _LONGEST or value.startswith(("-", "\u2013", "\u2014", "\u2015")):
        return False
    if any(unicodedata.category(character)[0] in "CZ" and character != " " for character in value):
        return False
    if shell == "any":
        return not _SINGLE_QUOTES.search(value)
    return shell == "posix" or not _POWERSHELL_SPECIAL.search(value)


def quoted(value: str, shell: Shell) -> str:
    """The value as one word of the shell's language. Raises ValueError for what no command may hold."""
    if not carries(value, shell):
        raise ValueError("this value can't be put into a command")
    if shell == "posix":
        return shlex.quote(value)
    if shell == "any":
        return f"'{value}'"
    return "'" + _SINGLE_QUOTES.sub(r"\1\1", value) + "'"
