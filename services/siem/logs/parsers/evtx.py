"""Windows event log files (EVTX) -> the JSON documents that windows_shapes.py reads. The one file that imports `evtx`.

Owns the container format and its limits. Refuses to know what an event means.
"""

import io
from collections.abc import Iterator

import orjson
from evtx import PyEvtxParser

from services.siem.logs.parsers.interface import Document
from shared.errors import MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, AuroraError

MEDIA_TYPE = "application/x-evtx"
#: Entries of one file; the same number as the items of any other request.
MAX_ENTRIES = 200_000
#: Templates make the JSON of an entry several times its binary form; a file that grows more than this is hostile.
MAX_GROWTH = 40
_MAGIC = b"ElfFile\0"


def read_evtx(data: bytes) -> Iterator[Document]:
    """The entries of an EVTX file, in the file's order, each `{"Event": {"System": .., "EventData": ..}}`.

    Raises AuroraError: malformed request where the file isn't EVTX or an entry can't be read, with the number of the
    entries before it (a file that was cut off mustn't look whole); payload too large over MAX_ENTRIES or MAX_GROWTH.
    """
    if not data.startswith(_MAGIC):
        raise _malformed("the body is not an EVTX file", 0)
    room = MAX_GROWTH * len(data)
    count = 0
    try:
        for record in PyEvtxParser(io.BytesIO(data)).records_json():
            text = "" if record is None else str(record["data"])
            room -= len(text)
            count += 1
            if count > MAX_ENTRIES or room < 0:
                raise AuroraError(PAYLOAD_TOO_LARGE, {"max_items": MAX_ENTRIES, "max_growth": MAX_GROWTH})
            document = orjson.loads(text)
            if isinstance(document, dict):
                yield document
    except (RuntimeError, OSError, ValueError) as error:  # what the reader raises for a damaged file
        raise _malformed("the EVTX file is damaged", count) from error


def _malformed(message: str, count: int) -> AuroraError:
    return AuroraError(MALFORMED_REQUEST, {"message": message, "entries_before": count})
