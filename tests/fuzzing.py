"""How schemathesis calls the gateway: who it is, and what it must not do to itself. Loaded by tests/schemathesis.toml.

Everything is called as `admin`. What ends sessions is called by somebody else, and two valid requests are softened,
since each would stop all that come after it: throttling every caller, and changing the callers' own accounts.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any, TypeAlias

import schemathesis

Case: TypeAlias = schemathesis.Case[Any]
URL = os.environ["AURORA_FUZZ_URL"]
#: Ends sessions of whoever calls it.
_PARTING = {"logout", "end_session", "change_password"}
_LEAVER = {"username": "fuzz-leaver", "role": "viewer", "password": "correct horse battery staple"}


def _post(path: str, body: dict[str, str], token: str = "") -> Any:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _token(username: str, password: str) -> str:
    return str(_post("/api/v1/auth/token", {"username": username, "password": password})["access_token"])


@schemathesis.auth(refresh_interval=300)
class Caller:
    """A token of the administrator, and for what ends sessions one of a user made for it."""

    def get(self, case: Case, ctx: schemathesis.AuthContext) -> str:
        """The administrator's token."""
        return _token("admin", os.environ["AURORA_FUZZ_PASSWORD"])

    def set(self, case: Case, data: str, ctx: schemathesis.AuthContext) -> None:
        """Puts the caller's token into the request."""
        parting = case.operation.definition.raw.get("operationId") in _PARTING
        case.headers["Authorization"] = f"Bearer {self._leaver(data) if parting else data}"

    def _leaver(self, admin: str) -> str:
        try:
            return _token(_LEAVER["username"], _LEAVER["password"])
        except urllib.error.HTTPError:
            _post("/api/v1/users", _LEAVER, admin)
            return _token(_LEAVER["username"], _LEAVER["password"])


@schemathesis.serializer("application/x-ndjson")
def lines_of_json(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """A value as lines of JSON; what is text already goes as it is."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    return b"".join(json.dumps(one).encode() + b"\n" for one in (value if isinstance(value, list) else [value]))


@schemathesis.hook
def before_call(ctx: schemathesis.HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Softens the two."""
    parameters = case.path_parameters or {}
    if str(parameters.get("username", "")).casefold() in {"admin", _LEAVER["username"]}:
        parameters["username"] = "fuzz-nobody"
    body: Any = case.body
    if case.operation.definition.raw.get("operationId") == "update_runtime_settings" and isinstance(body, dict):
        for name in body:
            if name.endswith("_per_minute") and type(body[name]) is int and body[name] >= 1:
                body[name] = max(body[name], 1_000_000)
