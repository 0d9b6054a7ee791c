"""JSON-RPC 2.0 messages as JSON: codecs, the shape check, and errors in both directions.

Pure: bytes in, objects out, and back. Knows no socket, no handler and no registry. The text of an exception that isn't
an AuroraError ends here, in the log.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from shared.contracts.constants import ERROR_CODES
from shared.errors import INTERNAL, MALFORMED_REQUEST, METHOD_NOT_ALLOWED, VALIDATION, AuroraError
from shared.log import get_logger

RequestId = str | int | float | None

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
#: Ours: the caller took the request back. Beside the table of codes, since no caller ever waits for it.
CANCELLED = -32010

#: The messages of the specification, which carry no data.
_STANDARD = {
    PARSE_ERROR: "Parse error",
    INVALID_REQUEST: "Invalid Request",
    METHOD_NOT_FOUND: "Method not found",
    INTERNAL_ERROR: "Internal error",
}
#: What a peer's code means where it names no AURORA code itself.
_MEANING = {
    PARSE_ERROR: MALFORMED_REQUEST,
    INVALID_REQUEST: MALFORMED_REQUEST,
    METHOD_NOT_FOUND: METHOD_NOT_ALLOWED,
    INVALID_PARAMS: VALIDATION,
    INTERNAL_ERROR: INTERNAL,
}
_MAX_ID_CHARS = 256
_MAX_MESSAGE_CHARS = 512
_NONE: dict[str, Any] = {}
_WHERE = re.compile(r" - at `\$(?P<path>.*)`$")

_log = get_logger("rpc")


class WireError(msgspec.Struct, frozen=True):
    """The `error` member: `data` is left out where the specification's own errors have none."""

    code: int
    message: str
    data: Any | UnsetType = UNSET


class _Data(msgspec.Struct, frozen=True, omit_defaults=True):
    """`error.data` of an AuroraError. `retry_after` is in seconds."""

    code: str
    detail: Any = None
    retry_after: float | None = None


class _Success(msgspec.Struct, frozen=True, gc=False):
    jsonrpc: Literal["2.0"]
    result: Any
    id: RequestId


class _Failure(msgspec.Struct, frozen=True):
    jsonrpc: Literal["2.0"]
    error: WireError
    id: RequestId


_decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode


def decode(text: str) -> Any:
    """One frame as plain objects. Raises ValueError when it isn't JSON, or nests deeper than the interpreter allows."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError("not JSON, or nested too deeply") from error


def check_request(message: Any) -> None:
    """Raises ValueError unless `message` is a request object of JSON-RPC 2.0, section 4. Cheaper than a JSON schema:
    no validator runs, only type comparisons."""
    if (
        type(message) is not dict
        or message.get("jsonrpc") != "2.0"
        or type(message.get("method")) is not str
        or type(message.get("params", _NONE)) not in (dict, list)
        # Not isinstance: bool is an int in Python, and not a number in JSON.
        or type(request_id := message.get("id")) not in (str, int, float, type(None))
        or (type(request_id) is str and len(request_id) > _MAX_ID_CHARS)
    ):
        raise ValueError("not a request")


def success(request_id: RequestId, result: Any) -> bytes:
    """A reply with a result. Raises what msgspec raises for a result that isn't JSON-ready."""
    return encode(_Success("2.0", result, request_id))


def failure(request_id: RequestId, error: WireError) -> bytes:
    """A reply with an error."""
    return encode(_Failure("2.0", error, request_id))


def standard_error(code: int) -> WireError:
    """One of the specification's own errors (section 5.1)."""
    return WireError(code, _STANDARD[code])


def wire_error(error: BaseException, method: str = "") -> WireError:
    """The one place where an exception becomes a wire error. Anything but an AuroraError is logged and told as
    "Internal error" without a word of its text."""
    if not isinstance(error, AuroraError):
        _log.error("rpc method failed", method=method, exc_info=error)
        return standard_error(INTERNAL_ERROR)
    if error.code is INTERNAL:
        return standard_error(INTERNAL_ERROR)
    data = _Data(error.code.code, error.detail, error.retry_after)
    return WireError(error.code.rpc_code, error.message, data)


def params_error(error: msgspec.ValidationError, root: str = "params") -> AuroraError:
    """AURORA-4220 with the field that msgspec names, as `params.iocs[0].type`."""
    text = str(error)
    where = _WHERE.search(text)
    path, message = (root + where["path"], text[: where.start()]) if where else (root, text)
    # msgspec quotes what it was sent, which may be as long as a frame.
    problem = {"path": path[:_MAX_MESSAGE_CHARS], "message": message[:_MAX_MESSAGE_CHARS]}
    return AuroraError(VALIDATION, [problem], message="Invalid params")


def error_from_wire(code: int, message: str, data: Any) -> AuroraError:
    """The peer's refusal as an AuroraError: by `data.code` where it is one of ours, else by the JSON-RPC code."""
    fields = data if isinstance(data, dict) else {}
    named = ERROR_CODES.get(str(fields.get("code")))
    text = str(message)[:_MAX_MESSAGE_CHARS]
    if named is not None:
        retry_after = fields.get("retry_after")
        seconds = float(retry_after) if isinstance(retry_after, int | float) else None
        return AuroraError(named, fields.get("detail"), message=text, retry_after=seconds)
    meaning = _MEANING.get(code)
    if meaning is not None:
        return AuroraError(meaning, message=text)
    return AuroraError(INTERNAL, {"rpc_code": code})
