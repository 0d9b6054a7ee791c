"""Untrusted text as a value of the siem's search language: quoted and escaped, so that it stays a value. Pure."""

from __future__ import annotations


def phrase(text: str) -> str:
    """`"text"` with `\\`, `"` and `*` escaped: matched as it is, not as syntax."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
    return f'"{escaped}"'
