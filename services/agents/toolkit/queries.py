"""Untrusted text as a value of the siem's search language: quoted and escaped, so that it stays a value. Pure."""

from __future__ import annotations


def words(text: str) -> str:
    """`"text"`: the same words one after the other, in the message or the command line. An index finds them."""
    return f'"{_escaped(text)}"'


def anywhere(text: str) -> str:
    """`"*text*"` with `\\`, `"` and `*` escaped: the text as it is in message, raw event or command line, also inside
    a word. It reads every event of the time range, so give it one."""
    return f'"*{_escaped(text)}*"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
