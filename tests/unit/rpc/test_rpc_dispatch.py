"""A plain request is answered as the library answers it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RATE_LIMITED, AuroraError
from shared.identity import Principal, service_principal
from shared.rpc.limits import RpcLimits
from shared.rpc.methods import Arrival, Binding, Call, bind, by_library, dispatch, registry
from shared.rpc.wire import RequestId
from tests.rpc_kit import GET_DATA, REFUSE, SUBTRACT, SUM

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_META = st.fixed_dictionaries(
    {},
    optional={
        "handoff_id": st.sampled_from(["h-1", "", 5]),
        "from": st.just("orchestrator"),
        "to": st.just("triage"),
        "deadline": st.sampled_from(["2036-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "2036-01-01T00:00:00", None]),
        "hops": st.integers(-1, 9),
    },
)
_PARAMS = st.dictionaries(st.sampled_from(["minuend", "values", "id", "self", "arrival", ""]), _JSON, max_size=3)
_REQUESTS = st.builds(
    lambda method, params, meta, identity: {
        "jsonrpc": "2.0",
        "method": method,
        "params": params | ({} if meta is None else {"_meta": meta}),
        "id": identity,
    },
    st.sampled_from(["sum", "subtract", "get_data", "refuse", "rpc.cancel", "rpc.discover"]),
    _PARAMS | st.just({"minuend": 3, "subtrahend": 1}) | st.just({"values": [1]}),
    st.none() | _META | _META.map(lambda meta: meta | {"handoff_id": "h", "from": "a", "to": "b"}) | _JSON,
    st.none() | st.integers() | st.text(max_size=9) | st.floats(allow_nan=False, allow_infinity=False),
)


async def _never(_params: Any, _context: Any) -> Any:
    raise AssertionError("only begun")


_BINDINGS: list[Binding[Any, Any]] = [bind(method, _never) for method in (SUM, SUBTRACT, GET_DATA, REFUSE)]


class _Session:
    """Answers with what it is told to begin; `refuse` is refused."""

    principal: Principal = service_principal("orchestrator")
    limits = RpcLimits()

    def start(self, call: Call, arrival: Arrival) -> str:
        if call.binding.method is REFUSE:
            raise AuroraError(RATE_LIMITED, {"max_in_flight": 1}, retry_after=0.1)
        # Not the seconds that are left: they differ from one moment to the next.
        return repr((call.binding.method, call.params, call.context, call.key, call.digest, arrival.in_batch))

    def cancel(self, request_id: RequestId) -> bool:
        return request_id == 1


@given(request=_REQUESTS)
def test_a_plain_request_gets_the_same_answer_both_ways(request: dict[str, Any]) -> None:
    table, session = registry(_BINDINGS, lambda: {"openrpc": "1.3.2"}), _Session()
    arrival = Arrival(session, request["id"], notification=False, in_batch=False)
    text = json.dumps(request)
    # Each from a message of its own, since `_meta` is taken out of it.
    assert dispatch(json.loads(text), table, session) == by_library(json.loads(text), table, arrival)
