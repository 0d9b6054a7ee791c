"""From one JSON-RPC message to a running handler: bindings, `_meta`, params, and the library's dispatch.

This is the one file that imports jsonrpcserver. Its synchronous dispatch applies the rules of the specification
(request or notification, id, order of checks) and calls a starter, which begins the work and hands back the task; the
session awaits it. So no schema validator runs, nothing is gathered, and no exception text passes through the library.
Knows no socket.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec
from jsonrpcserver import Error, Result, Success
from jsonrpcserver.dispatcher import call, create_request, get_method, to_response
from jsonrpcserver.response import to_serializable_one
from msgspec import UNSET

from shared.contracts.agents import Handoff
from shared.contracts.constants import Method
from shared.errors import DEADLINE_EXCEEDED, AuroraError
from shared.identity import Principal
from shared.rpc.limits import RpcLimits
from shared.rpc.wire import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    RequestId,
    WireError,
    check_request,
    failure,
    params_error,
    standard_error,
    success,
    wire_error,
)

P = TypeVar("P")
R = TypeVar("R")
E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)

#: `rpc.cancel`, a notification `{"id": ...}`: the caller takes a request back.
CANCEL = "rpc.cancel"
#: `rpc.discover`: the OpenRPC document of the port.
DISCOVER = "rpc.discover"
_RESERVED = "rpc."
_META = "_meta"

_canonical = msgspec.json.Encoder(order="sorted").encode


class CallContext(msgspec.Struct, frozen=True, gc=False):
    """What a handler knows of its caller. Cancellation is the task's own: the handler is cancelled when the caller
    takes the request back, when its time is up, and, for a call without a handoff, when the connection is lost."""

    principal: Principal
    handoff: Handoff | None
    request_id: RequestId
    traceparent: str | None


Handler = Callable[[P, CallContext], Awaitable[R]]


@dataclass(frozen=True)
class Binding(Generic[P, R]):
    """A method and the handler that serves it."""

    method: Method[P, R]
    handler: Handler[P, R]


def bind(method: Method[P, R], handler: Handler[P, R]) -> Binding[P, R]:
    """Says which handler serves a method. Raises ValueError for a name the specification reserves."""
    if method.name.startswith(_RESERVED):
        raise ValueError(f"{method.name}: names that begin with {_RESERVED} are reserved")
    return Binding(method, handler)


class Call(msgspec.Struct, frozen=True, gc=False):
    """A checked call, ready to run: within `seconds`, once for all requests of one `key` (None: every time)."""

    binding: Binding[Any, Any]
    params: Any
    context: CallContext
    seconds: float
    key: Hashable | None
    digest: int


class Session(Protocol[E_co]):
    """What a starter needs of the connection that the message came by."""

    @property
    def principal(self) -> Principal:
        """Who opened the connection."""

    @property
    def limits(self) -> RpcLimits:
        """What the server grants."""

    def start(self, call: Call, arrival: Arrival) -> E_co:
        """Begins the call and returns its handle. Raises AuroraError when it is refused."""

    def cancel(self, request_id: RequestId) -> bool:
        """Cancels the connection's running requests of that id; whether there was one."""


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One message: by which session, with which id, whether it wants an answer and whether it stands in a batch."""

    session: Session[Any]
    request_id: RequestId
    notification: bool
    in_batch: bool


class _Starter:
    """What is called for a method: `begin` by a plain request, the whole by the library."""

    def __init__(self, begin: Callable[[Arrival, dict[str, Any]], Any]) -> None:
        self.begin = begin

    def __call__(self, arrival: Arrival, /, *positional: Any, **named: Any) -> Result:
        try:
            if positional:
                raise params_error(msgspec.ValidationError("Expected `object`, got `array`"))
            return Success(self.begin(arrival, named))
        except AuroraError as refusal:
            error = wire_error(refusal)
            return Error(error.code, error.message, error.data)


Registry = dict[str, _Starter]


def registry(bindings: Iterable[Binding[Any, Any]], discover: Callable[[], dict[str, Any]] = dict) -> Registry:
    """The dispatch table; `discover` makes what `rpc.discover` answers. Raises ValueError when two bindings name one
    method."""
    table: Registry = {CANCEL: _Starter(_cancel), DISCOVER: _Starter(lambda _arrival, _named: discover())}
    for binding in bindings:
        if binding.method.name in table:
            raise ValueError(f"{binding.method.name} is bound twice")
        table[binding.method.name] = _Starter(partial(_start, binding))
    return table


def dispatch(message: Any, table: Registry, session: Session[E], *, in_batch: bool = False) -> E | bytes | None:
    """Applies the rules of JSON-RPC 2.0 to one decoded message.

    Returns the handle of the call it started, or the encoded reply where that is known at once, or None where nothing
    is to be said (a notification, whether it was started or refused).
    """
    try:
        check_request(message)
    except ValueError:
        return failure(None, standard_error(INVALID_REQUEST))
    arrival = Arrival(session, message.get("id"), "id" not in message, in_batch)
    starter, params = table.get(message["method"]), message.get("params")
    if starter is None or arrival.notification or type(params) is not dict:
        special: E | bytes | None = by_library(message, table, arrival)
        return special
    # A plain request, as nearly every one is: there is no rule left to apply, and the library's steps for it would be
    # a tenth of a short call. A test holds both ways to the same answers.
    try:
        result: E | dict[str, Any] = starter.begin(arrival, params)
    except AuroraError as refusal:
        return failure(arrival.request_id, wire_error(refusal))
    return success(arrival.request_id, result) if isinstance(result, dict) else result


def by_library(message: dict[str, Any], table: Registry, arrival: Arrival) -> Any:
    """The same by the library, of a message that is a request: notifications, params that aren't named, methods that
    there aren't."""
    request = create_request(message)
    # The library's own steps but for its check of params against a signature: the params struct is the check.
    outcome = get_method(cast(dict[str, Callable[..., Result]], table), request.method).bind(
        partial(call, request, arrival)
    )
    if arrival.notification:
        return None
    answer: Any = to_serializable_one(to_response(request, outcome))
    if "error" in answer:
        return failure(answer["id"], _tidy(answer["error"]))
    result = answer["result"]
    return success(answer["id"], result) if isinstance(result, dict) else result


def _tidy(error: dict[str, Any]) -> WireError:
    """The library puts exception texts into its own errors: those become the specification's plain ones."""
    code = error["code"]
    if code in (METHOD_NOT_FOUND, INTERNAL_ERROR):
        return standard_error(code)
    return WireError(code, error["message"], error.get("data", UNSET))


def _cancel(arrival: Arrival, named: dict[str, Any]) -> dict[str, bool]:
    if "id" not in named:
        raise params_error(msgspec.ValidationError("Object missing required field `id`"))
    return {"cancelled": arrival.session.cancel(named["id"])}


def _start(binding: Binding[Any, Any], arrival: Arrival, named: dict[str, Any]) -> object:
    meta = named.pop(_META, None)
    try:
        handoff = None if meta is None else msgspec.convert(meta, Handoff)
    except msgspec.ValidationError as error:
        raise params_error(error, f"params.{_META}") from error
    try:
        params = msgspec.convert(named, binding.method.params)
    except msgspec.ValidationError as error:
        raise params_error(error) from error
    session = arrival.session
    key, digest, trace = None, 0, None
    if handoff is not None:
        trace = handoff.traceparent
        if not arrival.notification:
            key = (session.principal.id, handoff.handoff_id, arrival.request_id)
            digest = hash(_canonical([binding.method.name, named]))
    context = CallContext(session.principal, handoff, arrival.request_id, trace)
    call = Call(binding, params, context, _seconds(handoff, session.limits), key, digest)
    return session.start(call, arrival)


def _seconds(handoff: Handoff | None, limits: RpcLimits) -> float:
    if handoff is None:
        return limits.call_seconds
    left = handoff.deadline.timestamp() - time.time()
    if left <= 0:
        raise AuroraError(DEADLINE_EXCEEDED)
    return min(left, limits.max_call_seconds)
