"""What siem and the processes beside it say to one another, and how it goes through a pipe.

Both ends are the same code of the same machine, so frames are pickles: nobody else can write to the pipe. Knows nothing
of processes.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from services.siem.detections.engine.costs import Sample
from services.siem.logs.parsers import Item
from services.siem.logs.preparation import Body, Part, Request
from services.siem.logs.store import StoredRow
from services.siem.match import Found

#: The length of the frame that follows, in bytes.
HEADER = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class Changes:
    """Rules to serve from now on, each as the compiler encodes it; None: no longer. `version` is theirs."""

    rules: list[tuple[str, bytes | None]]
    version: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """Something received; answered by Prepared for each part, or Refused, and by Evaluated for each part."""

    job: int
    content: Body | Sequence[Item]
    request: Request


@dataclass(frozen=True, slots=True)
class Again:
    """Stored rows to be parsed and evaluated again; answered by one Evaluated, as part 0."""

    job: int
    rows: Sequence[StoredRow]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A part of a job, in order; None after the last."""

    job: int
    part: Part | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The job's content can't be read: what AuroraError says, `code` by its name."""

    job: int
    code: str
    detail: Any
    message: str


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The events of a part of a job were held against the rules; `sample` is what that cost, where it was measured."""

    job: int
    part: int
    found: Found
    sample: Sample | None = None


Order: TypeAlias = Changes | Prepare | Again
Answer: TypeAlias = Prepared | Refused | Evaluated


def framed(content: Order | Answer) -> bytes:
    """As it goes through the pipe."""
    data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(data)) + data
