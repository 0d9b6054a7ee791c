"""The triage process: one sample on stdin, what it is on stdout, one JSON object a line for each part; then it ends.

It gives up every right before it looks at the first byte: memory, time and files are limited, nothing can be opened
any more (neither a file nor a socket), no process started, and root's rights are gone. A part whose parser fails is
named under `unread`; when the process dies, the lines before that stand.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from services.agents.toolkit.samples.facts import basics, said
from services.agents.toolkit.samples.rules import Rules
from shared.contracts.samples import MAX_SAMPLE_BYTES

Part = Callable[[bytes], dict[str, Any]]
_MEMORY = 1024 * 1024 * 1024
_CPU_SECONDS = 20
_OWN_RULES = Path(__file__).parents[1] / "knowledge" / "samples.yar"
_NOBODY = 65534
#: What is looked at in the files of an archive; their strings would be those of every document in it.
_OF_MEMBERS = ("basics", "rules", "programme")
_NAME, _MOST_IMPORTS = 200, 1000
_ARCHIVE = b"PK\x03\x04"
#: An indicator of each form: what looks them up loads its lists at the first one.
_EVERY_FORM = (
    b"http://gate.some-site.net/a http://xn--mnchen-3ya.de/ see www.some-site.co.uk, xn--mnchen-3ya.de, "
    b"some-site.rs and a.b@some-site.org from 45.33.32.156 or 2001:db8::1, CVE-2020-1234, "
    b"hxxp://bad[.]some-site[.]net 44d88612fea8a8f36de82e1278abb02f"
)
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 1, 38, 4


def _limit() -> None:
    """Before anything is read."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0)
    for what, most in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _warm(rules: Rules) -> None:
    """What is loaded or started at its first use is so now, while files can still be opened."""
    said(_EVERY_FORM)
    rules.scan(b"")
    b"name".decode("cp437")  # names in archives


def _shut() -> None:
    """Once code and rules are loaded: nothing can be opened, connected or started any more."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    # For root it would not hold.
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _tell(part: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(part) + b"\n")
    sys.stdout.buffer.flush()


def _reader_of(data: bytes) -> Part:
    """What reads a programme's structure; its library takes half a second to load, so only where there may be one."""
    if not data.startswith((b"MZ", b"\x7fELF", _ARCHIVE)):
        return lambda _data: {"programme": None}
    from services.agents.toolkit.samples.executables import programme

    return lambda given: {"programme": programme(given)}


def _archive_reader(data: bytes) -> Callable[[Mapping[str, Part]], Iterator[dict[str, Any]]]:
    """What tells the files of an archive, one as soon as it was looked at, and then how many there are."""
    if not data.startswith(_ARCHIVE):
        return lambda _parts: iter(({"member_count": 0},))
    from services.agents.toolkit.samples import archives

    def read(parts: Mapping[str, Part]) -> Iterator[dict[str, Any]]:
        for member in archives.members(data):
            yield {"member": _looked_at(member.name, member.data, member.unread, parts)}
        yield {"member_count": len(archives.files(data))}

    return read


def _looked_at(name: str, data: bytes, reason: str, parts: Mapping[str, Part]) -> dict[str, Any]:
    unread: dict[str, str] = {}
    found: dict[str, Any] = {"name": name[:_NAME], "unread": unread}
    if reason:
        unread["bytes"] = reason
        return found
    if data.startswith(_ARCHIVE):
        unread["members"] = "an archive in an archive"
    for part in _OF_MEMBERS:
        try:
            found |= parts[part](data)
        except Exception as error:  # noqa: BLE001 - as in main
            unread[part] = type(error).__name__
    if found.get("programme"):
        del found["programme"]["imports"][_MOST_IMPORTS:]
    return found


def main(folders: list[str]) -> None:
    """`folders` hold the operator's rules."""
    _limit()
    rules = Rules(_OWN_RULES, map(Path, folders))
    _warm(rules)
    data = sys.stdin.buffer.read(MAX_SAMPLE_BYTES + 1)[:MAX_SAMPLE_BYTES]
    programme, members = _reader_of(data), _archive_reader(data)
    _shut()
    # The parser that is likeliest to die comes last.
    parts: dict[str, Part] = {"basics": basics, "strings": said, "rules": rules.scan, "programme": programme}
    for name, part in parts.items():
        try:
            _tell(part(data))
        except Exception as error:  # noqa: BLE001 - a hostile file may break a parser in any way; the others go on
            _tell({"unread": {name: type(error).__name__}})
    try:
        for told in members(parts):
            _tell(told)
    except Exception as error:  # noqa: BLE001 - as above
        _tell({"unread": {"members": type(error).__name__}})


if __name__ == "__main__":
    main(sys.argv[1:])
