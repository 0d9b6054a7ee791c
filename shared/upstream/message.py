"""A request as bytes, and what the head of an answer must be. Pure: no connection, no parser."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

#: Methods of which a second one does no harm (RFC 9110, 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"/[\x21-\x7e]*")
#: Of one connection and one message: no caller may set them (RFC 9110, 7.6.1).
_OURS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)


class UpstreamError(Exception):
    """An exchange that came to nothing."""


class Unreachable(UpstreamError):
    """No connection: refused, too late, or too many are in use."""


class AnswerLate(UpstreamError):
    """Nothing came, or nothing could be sent, for as long as the caller waits."""


class AnswerBroken(UpstreamError):
    """The connection died, or what came is no answer that can be trusted. `untouched`: not one byte had come."""

    def __init__(self, reason: str, *, untouched: bool = False) -> None:
        super().__init__(reason)
        self.untouched = untouched


def head_of(method: str, target: str, host: str, headers: Mapping[str, str], length: int | None) -> bytes:
    """The request's head. `length` of the body in bytes, -1 when it isn't known beforehand, None without a body.

    Raises ValueError for anything that could be read as more than one request, or as another one.
    """
    if _TOKEN.fullmatch(method) is None or _TARGET.fullmatch(target) is None:
        raise ValueError("not a method and a target")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    for name, value in headers.items():
        if not _may_set(name):
            raise ValueError(f"the header {name!r} isn't the caller's to set")
        lines.append(f"{name}: {value}")
    if length is None and method in _WITH_BODY:
        length = 0
    if length is not None:
        lines.append("Transfer-Encoding: chunked" if length < 0 else f"Content-Length: {length}")
    head = "\r\n".join(lines)
    ends = len(lines) - 1
    if head.count("\r") != ends or head.count("\n") != ends or "\0" in head:
        raise ValueError("a header's value has an end of line in it")
    return head.encode("utf-8", "surrogateescape") + b"\r\n\r\n"


@functools.lru_cache(maxsize=256)
def _may_set(name: str) -> bool:
    return name.lower() not in _OURS and _TOKEN.fullmatch(name) is not None


def framing_of(status: int, headers: Mapping[str, str], *, bodiless: bool) -> int | None:
    """How long the answer's body is: bytes, or None when it comes in chunks. `headers` have lower-case names.

    Raises AnswerBroken for an answer whose end can't be told from its head alone: an end of the connection says nothing
    about whether everything came.
    """
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if status == 101:
        raise AnswerBroken("it changed the protocol, unasked")
    if length is not None and coding is not None:
        raise AnswerBroken("it has both a length and chunks")
    if length is not None and not (length.isascii() and length.isdigit()):
        raise AnswerBroken("its length is no number")
    if bodiless or status in (204, 304):
        return 0
    if coding is not None:
        if coding.lower() != "chunked":
            raise AnswerBroken("it has a transfer coding other than chunked")
        return None
    if length is None:
        raise AnswerBroken("its head doesn't say where it ends")
    return int(length)
