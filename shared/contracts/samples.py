"""Samples: files kept by their SHA-256 for static triage, and what was found in them. Nothing here runs one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.claims import Citation, Finding, Refusal
from shared.contracts.common import Confidence, Observable, Verdict
from shared.contracts.constants import INVESTIGATIONS_READ, INVESTIGATIONS_WRITE, Endpoint, Method
from shared.errors import NOT_FOUND, PAYLOAD_TOO_LARGE, UNAVAILABLE, UNSUPPORTED_MEDIA_TYPE, VALIDATION

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
#: MD5, SHA-1 or SHA-256: a sample is found by each.
FileHash = Annotated[str, Meta(pattern=r"^([0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})$")]
SampleKind = Literal["pe", "elf", "document", "archive", "script", "shortcut", "image", "text", "other"]
#: The most that one sample may have.
MAX_SAMPLE_BYTES = 32 * 1024 * 1024
#: Files of an archive that are looked at.
MOST_MEMBERS = 12
#: The bucket of the object store that holds them: the bytes under their SHA-256, the SHA-256 under each other hash.
SAMPLES_BUCKET = "samples"


def alias_of(file_hash: str) -> str:
    """The name under which the SHA-256 of a file stands that has this MD5 or SHA-1."""
    return f"by.{file_hash}"


_MASK = bytes(byte ^ 0xA5 for byte in range(256))


def masked(data: bytes) -> bytes:
    """The bytes as they are stored, and back again: no virus scanner of the host finds the file in the store, and takes
    the store away with it."""
    return data.translate(_MASK)


class SampleReceipt(msgspec.Struct, kw_only=True):
    """The bytes are durable under this hash. `size` is in bytes."""

    sha256: str
    size: int
    stored_at: datetime


class ProgrammeSection(msgspec.Struct, kw_only=True):
    """One section of a programme; sizes in bytes, entropy in bits a byte."""

    name: str
    size: int
    virtual_size: int
    entropy: float
    writable: bool
    executable: bool


class Programme(msgspec.Struct, kw_only=True):
    """The structure of a PE or ELF file. `imports` are at most 60 of `import_count`; `signature` says whether a PE's
    signature fits its bytes (intact, broken, none), by the certificates in the file itself."""

    format: Literal["pe", "elf"]
    machine: str
    bits: int
    library: bool
    entry_point: int
    entry_section: str = ""
    compiled: int | None = None
    imphash: str = ""
    import_count: int
    imports: list[str]
    sections: list[ProgrammeSection]
    section_count: int
    overlay: int = 0
    managed: bool = False
    signed: bool = False
    signature: Literal["intact", "broken", "none"] = "none"
    linked: Literal["dynamic", "static"] | None = None
    stripped: bool | None = None
    writable_code: bool = False


class RuleMatch(msgspec.Struct, kw_only=True):
    """A YARA rule that matched: its name, the file it is in, what its `meta` says, which of its strings were found."""

    rule: str
    file: str
    meta: dict[str, str] = {}
    matched: list[str] = []


class ArchiveMember(msgspec.Struct, kw_only=True):
    """A file in a zip archive, looked at as the archive itself. `unread` names what couldn't be read and why: `bytes`
    when it couldn't be unpacked, `members` when it is an archive itself. `programme` has neither imports nor all its
    sections."""

    name: str
    size: int = 0
    sha256: str = ""
    kind: SampleKind = "other"
    type: str = ""
    entropy: float = 0.0
    programme: Programme | None = None
    rules: list[RuleMatch] = []
    unread: dict[str, str] = {}


class SampleReport(msgspec.Struct, kw_only=True):
    """Result of `triage_sample`. `stored` is false when no bytes are kept under the hash, and everything else empty.

    `members` are the first 12 of `member_count` files of a zip archive, which are unpacked without a password or with
    "infected". `unread` names parts that couldn't be read and why: a file may be made to break parsers. Findings cite
    `citations`; `iocs` stand in the file's strings and prove nothing by that. A static look never says benign."""

    sha256: str
    stored: bool
    size: int = 0
    md5: str = ""
    sha1: str = ""
    kind: SampleKind = "other"
    type: str = ""
    entropy: float = 0.0
    programme: Programme | None = None
    rules: list[RuleMatch] = []
    members: list[ArchiveMember] = []
    member_count: int = 0
    iocs: list[Observable] = []
    unread: dict[str, str] = {}
    verdict: Verdict = "undetermined"
    confidence: Confidence = 0.0
    mitre_techniques: list[str] = []
    findings: list[Finding] = []
    citations: list[Citation] = []
    not_checked: list[str] = []
    refused: list[Refusal] = []


class Sample(msgspec.Struct, kw_only=True):
    """What is known of stored bytes. `analysis` is null until they were looked at; `analysis_error` says why they
    weren't."""

    sha256: str
    md5: str
    sha1: str
    size: int
    stored_at: datetime
    stored_by: str
    analysis: SampleReport | None = None
    analysed_at: datetime | None = None
    analysis_error: str | None = None


class TriageSample(msgspec.Struct, kw_only=True):
    """Params of `triage_sample`."""

    sha256: FileHash


STORE_SAMPLE = Endpoint(
    "POST",
    "/api/v1/samples",
    INVESTIGATIONS_WRITE,
    service="orchestrator",
    summary="Store a file for static triage, under its SHA-256",
    body=bytes,
    returns=SampleReceipt,
    status=201,
    also=(200,),
    errors=(VALIDATION, PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, UNAVAILABLE),
    tag="Investigations",
    consumes=("application/octet-stream",),
    max_body=MAX_SAMPLE_BYTES,
    timeout_seconds=120.0,
)
GET_SAMPLE = Endpoint(
    "GET",
    "/api/v1/samples/{sha256}",
    INVESTIGATIONS_READ,
    service="orchestrator",
    summary="What is known of a stored file, and its last triage",
    returns=Sample,
    errors=(NOT_FOUND, VALIDATION),
    tag="Investigations",
)
TRIAGE_SAMPLE = Method("triage_sample", TriageSample, SampleReport, "Look at stored bytes without running them")
