"""Untrusted text as a value of the siem's search language: quoted and escaped, so that it stays a value. Pure."""

from __future__ import annotations


def anywhere(text: str) -> str:
    """`"*text*"` with `\\`, `"` and `*` escaped: the text as it is in message, raw event or command line, also inside
    a word. It reads every event of the time range, so give it one."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
    return f'"*{escaped}*"'
