"""Lists of benign values as MISP's warninglists have them: their values prove nothing when they are seen. Pure.

Lists that match a part of a text or by a regular expression are skipped: they can't be looked up by a value.
"""

from __future__ import annotations

import msgspec

from services.siem.intel.domain import Collected, Entry, text
from shared.observables import type_of

_LOOKED_UP = frozenset({"string", "hostname", "cidr"})


class _List(msgspec.Struct):
    name: str = ""
    type: str = "string"
    description: str = ""
    values: list[str] = msgspec.field(default=[], name="list")


def read(body: bytes, collected: Collected) -> None:
    """One list. Raises msgspec.DecodeError when it is none."""
    found = msgspec.json.decode(body, type=_List)
    if found.type not in _LOOKED_UP:
        collected.skip(text(found.name, 120), f"a list of type {text(found.type, 40)} can't be looked up by a value")
        return
    for place, value in enumerate(found.values, start=1):
        # A name that begins with a dot stands for all below it; so does every domain here.
        bare = value.strip().removeprefix(".")
        kind = "domain" if found.type == "hostname" else type_of(bare)
        if kind is None or kind == "cve":
            collected.skip(f"value {place}", "no value that has the shape of an observable")
        else:
            entry = Entry(
                type=kind,
                value=bare,
                benign=True,
                tags=(text(found.name, 120),),
                description=text(found.description),
                actionable=False,
            )
            collected.add(entry, f"value {place}")
