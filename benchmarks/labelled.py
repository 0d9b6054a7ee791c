"""Recordings of which it is known whether they hold an attack, each made a small world of its own.

Every recorded attack session beside the checkout (`../shared/data/security-datasets*.tar`) and our own recorded
intrusion are attacks. Pieces of our own recorded administration are not. Single events that the authors of a Sigma rule
recorded as what it must find (`sigma-regression*.tar.xz`) are neither: what they show ranges from malware to a question
that administrators ask too, so they go by their rule's level. What is sent to one stack must not be another world's
past: a world gets host names of its own and a day far from all others, every date in it moved by as many days.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from benchmarks.corpus import OUTSIDE, ROOT, sigma_rules

_SAMPLES = ROOT / "samples"
_LINES_A_REQUEST = 1000
#: Days between two worlds: farther than any specialist looks back.
_APART = timedelta(days=45)
#: Seconds of one piece of the recorded administration.
_PIECE_SECONDS = 30
_DATE = re.compile(rb"(\d{4})-(\d\d)-(\d\d)(?=[T ]\d\d:\d\d)")
_EPOCH = re.compile(rb"audit\((\d{10})(?=\.)")
_NGINX = re.compile(rb"\[(\d\d)/([A-Z][a-z]{2})/(\d{4})(?=:\d\d:\d\d)")
_HOST = re.compile(rb'"(?:Hostname|Computer|ComputerName)"\s*:\s*"([^".]{4,})')
_RULE_ID = re.compile(r"^id:\s*(\S+)", re.MULTILINE)
_RULE_LEVEL = re.compile(r"^level:\s*(\w+)", re.MULTILINE)
_MONTHS = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent at once: the name of its source, or none, and lines of one kind."""

    source: str | None
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class World:
    """One labelled recording, on its own day and hosts. `level` is that of the rule that a single event is a test of,
    None for a whole recording."""

    name: str
    attack: bool
    day: date
    requests: list[Request]
    lines: int
    level: str | None = None


@dataclass(frozen=True, slots=True)
class _Recording:
    name: str
    attack: bool
    #: (source, line)
    lines: list[tuple[str | None, bytes]]
    level: str | None = None


def worlds(*, attacks_only: bool = False, first: int = 0) -> list[World]:
    """Every labelled recording, the newest day first. `first` is the number of the first world, so that two lists share
    neither days nor hosts."""
    today = datetime.now(UTC).date()
    made = []
    for number, recording in enumerate(_recordings(), first):
        if recording.attack or not attacks_only:
            made.append(_world(recording, recording.lines, number, today - _APART * (number + 1)))
    return made


def single_events(first: int) -> list[World]:
    """The regression events of every rule that has some; `first` as for `worlds`."""
    today = datetime.now(UTC).date()
    return [
        _world(recording, recording.lines, number, today - _APART * (number + 1))
        for number, recording in enumerate(_regression_sets(), first)
    ]


def _regression_sets() -> Iterator[_Recording]:
    rules = [(_RULE_ID.search(text), _RULE_LEVEL.search(text)) for text in sigma_rules()]
    levels = {rule[1]: level[1] for rule, level in rules if rule and level}
    for archive in sorted(OUTSIDE.glob("sigma-regression*.tar.xz")):
        with tarfile.open(archive) as tar:
            members = [member for member in tar if member.name.endswith(".json")]
            for member in sorted(members, key=lambda member: member.name):
                content = tar.extractfile(member)
                path = Path(member.name)
                if content is not None and (level := levels.get(path.stem)) is not None:
                    yield _Recording(path.parent.name, True, _events_of(content.read().decode()), level)


def _events_of(text: str) -> list[tuple[str | None, bytes]]:
    """JSON objects one after the other, or in a list, each over many lines: one line each."""
    decoder, place, events = json.JSONDecoder(), 0, []
    while text[place:].strip():
        place += len(text[place:]) - len(text[place:].lstrip())
        item, place = decoder.raw_decode(text, place)
        events += item if isinstance(item, list) else [item]
    return [(None, json.dumps(event).encode()) for event in events]


def _recordings() -> Iterator[_Recording]:
    yield from _sessions()
    yield _Recording("our recorded intrusion", True, [(source, line) for source, line, _ in _sampled()])
    yield from _administration()


def _sessions() -> Iterator[_Recording]:
    for archive in sorted(OUTSIDE.glob("security-datasets*.tar")):
        with tarfile.open(archive) as tar:
            members = [member for member in tar if member.name.endswith(".zip")]
            for member in sorted(members, key=lambda member: member.name):
                content = tar.extractfile(member)
                if content is not None:
                    lines = _lines_of(content.read())
                    yield _Recording(Path(member.name).stem, True, [(None, line) for line in lines])


def _lines_of(data: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        lines = [line for name in archive.namelist() for line in archive.read(name).splitlines()]
    return [line for line in lines if line.startswith(b"{") or _EPOCH.search(line)]


def _sampled() -> list[tuple[str, bytes, bool]]:
    """The lines of our samples: source, line, whether it is the attack's."""
    manifest = json.loads((_SAMPLES / "manifest.json").read_bytes())
    found = []
    for file in manifest["files"]:
        ranges = [pair for stage in manifest["attack"] if stage["path"] == file["path"] for pair in stage["lines"]]
        lines = (_SAMPLES / file["path"]).read_bytes().splitlines()
        for number, line in enumerate(lines, 1):
            if line.strip():
                found.append((file["source"], line, any(low <= number <= high for low, high in ranges)))
    return found


def _administration() -> Iterator[_Recording]:
    """Our recorded administration in pieces of half a minute, each as if it were all that a host did."""
    pieces: dict[int, list[tuple[str | None, bytes]]] = {}
    for source, line, attack in _sampled():
        if not attack and (moment := _moment(line)) is not None:
            pieces.setdefault(int(moment.timestamp()) // _PIECE_SECONDS, []).append((source, line))
    for number, key in enumerate(sorted(pieces)):
        yield _Recording(f"our administration {number + 1}", False, pieces[key])


def _moment(line: bytes) -> datetime | None:
    if found := _EPOCH.search(line):
        return datetime.fromtimestamp(int(found[1]), UTC)
    if found := re.search(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", line):
        return datetime.fromisoformat(found[0].decode()).replace(tzinfo=UTC)
    if found := re.search(rb"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d) \+0000\]", line):
        return datetime.strptime(found[1].decode(), "%d/%b/%Y:%H:%M:%S").replace(tzinfo=UTC)
    return None


def _world(recording: _Recording, lines: Sequence[tuple[str | None, bytes]], number: int, day: date) -> World:
    hosts = sorted({found[1] for _, line in lines if (found := _HOST.search(line))} | {b"web01"}, key=len, reverse=True)
    renamed = re.compile(rb"\b(" + b"|".join(map(re.escape, hosts)) + rb")(?![\w-])", re.IGNORECASE)
    suffix = b"-%03d" % number
    if not any(_HOST.search(line) or b"web01" in line for _, line in lines):
        # An audit log without the name of its host: as auditd writes it with name_format=hostname.
        lines = [(source, b"node=web01 " + line) for source, line in lines]
    own_day = next((own for _, line in lines if (own := _day(line)) is not None), day)
    moved = [(source, _moved(renamed.sub(rb"\g<1>" + suffix, line), day - own_day)) for source, line in lines]
    return World(recording.name, recording.attack, day, _requests(moved), len(moved), recording.level)


def _day(line: bytes) -> date | None:
    if dated := _DATE.search(line):
        return date(*map(int, dated.groups()))
    moment = _moment(line)
    return None if moment is None else moment.date()


def _moved(line: bytes, by: timedelta) -> bytes:
    line = _DATE.sub(lambda found: (date(*map(int, found.groups())) + by).isoformat().encode(), line)
    line = _EPOCH.sub(lambda found: b"audit(%d" % (int(found[1]) + by.days * 86400), line)
    return _NGINX.sub(lambda found: _nginx_date(found, by), line)


def _nginx_date(found: re.Match[bytes], by: timedelta) -> bytes:
    day = date(int(found[3]), _MONTHS.index(found[2]) + 1, int(found[1])) + by
    return b"[%02d/%s/%d" % (day.day, _MONTHS[day.month - 1], day.year)


def _requests(lines: Sequence[tuple[str | None, bytes]]) -> list[Request]:
    kinds: dict[tuple[str | None, str], list[bytes]] = {}
    for source, line in lines:
        kind = "application/x-ndjson" if line.startswith(b"{") else "text/plain"
        kinds.setdefault((source, kind), []).append(line)
    return [
        Request(source, kind, b"\n".join(some[start : start + _LINES_A_REQUEST]))
        for (source, kind), some in kinds.items()
        for start in range(0, len(some), _LINES_A_REQUEST)
    ]
