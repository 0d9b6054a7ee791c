"""Every Endpoint has one handler and one permission, and every path of a handler comes from an Endpoint."""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from functools import cache
from typing import Any

import pytest

import shared.contracts
from shared.contracts.catalog import ENDPOINTS, ERROR_CODES, MODULES
from shared.contracts.constants import ADMIN, AUTHENTICATED, PUBLIC, SCOPES, Endpoint, Method, Topic
from tests.structure.source_tree import ROOT, calls_of, last_name, listed, name_of, python_files

AnyEndpoint = Endpoint[Any, Any, Any]

#: `bind` of shared.http ties a request's handler to its constant, `bind_ws` of the gateway a stream's.
BINDERS = {"bind", "bind_streamed", "bind_ws"}


def _constants() -> dict[str, AnyEndpoint]:
    """Endpoint constants by their name in the contracts."""
    return {name: value for module in MODULES for name, value in vars(module).items() if isinstance(value, Endpoint)}


CONSTANTS = _constants()


@cache
def _bindings() -> dict[str, list[str]]:
    """Where each constant is bound, as `services/<service>/.../file.py:line`."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in python_files("services"):
        for call in calls_of(path):
            if last_name(call.func) in BINDERS and call.args and (name := last_name(call.args[0])) in CONSTANTS:
                found[name].append(f"{name_of(path)}:{call.lineno}")
    return found


@pytest.mark.parametrize("name", CONSTANTS)
def test_an_endpoint_has_one_handler_in_its_service(name: str) -> None:
    endpoint = CONSTANTS[name]
    places = _bindings().get(name, [])
    assert len(places) == 1, listed(places, f"{name} needs one `bind({name}, handler)` in services/{endpoint.service}")
    folder = f"services/{endpoint.service}/"
    assert places[0].startswith(folder), f"{name} says it is handled in {folder}, but it is bound in {places[0]}"
    assert places[0].split(":")[0].endswith("/routes.py"), f"bind {name} in a routes.py, not in {places[0]}"


@pytest.mark.parametrize("name", CONSTANTS)
def test_an_endpoint_has_a_permission_of_the_page(name: str) -> None:
    assert CONSTANTS[name].permission in {PUBLIC, AUTHENTICATED, ADMIN, *SCOPES}


def test_a_write_never_asks_for_a_read_permission_only() -> None:
    weak = [
        str(endpoint)
        for endpoint in ENDPOINTS.values()
        if endpoint.method not in {"GET", "HEAD", "WS"}
        and endpoint.permission.endswith(":read")
        # The page gives the streaming chat to readers; a lookup reads, and what it asks for is too long for a URL; the
        # tools of MCP read, and its transport knows POST alone.
        and endpoint.path not in {"/api/v1/chat/stream", "/api/v1/intel/lookup", "/mcp"}
    ]
    assert not weak, listed(weak, "Give it the write permission of its resource.")


def test_every_endpoint_is_a_constant_with_a_service_that_exists() -> None:
    assert len(CONSTANTS) == len(ENDPOINTS), "an Endpoint must be a module constant, so that callers can import it"
    homeless = [name for name, endpoint in CONSTANTS.items() if not (ROOT / "services" / endpoint.service).is_dir()]
    assert not homeless, listed(homeless, "`service` names a folder of services/.")


def test_endpoints_of_the_soc_api_have_a_summary_and_a_tag() -> None:
    bare = [name for name, endpoint in CONSTANTS.items() if not endpoint.summary or not endpoint.tag]
    assert not bare, listed(bare, "The API page and the command line show both.")


def test_the_catalog_lists_every_contract_module() -> None:
    cataloged = {module.__name__ for module in MODULES}
    missing = []
    for found in pkgutil.iter_modules(shared.contracts.__path__, "shared.contracts."):
        declared = vars(importlib.import_module(found.name)).values()
        if found.name not in cataloged and any(isinstance(value, Endpoint | Method | Topic) for value in declared):
            missing.append(found.name)
    assert not missing, listed(missing, "Add it to shared/contracts/catalog.py.")


def test_the_first_three_digits_of_a_code_are_its_status() -> None:
    wrong = [code for code, row in ERROR_CODES.items() if code != f"AURORA-{row.status}{code[-1]}"]
    assert not wrong, listed(wrong, "SOC page, Error codes.")


def test_no_handler_is_routed_by_a_typed_path() -> None:
    """Only the plumbing adds routes to an aiohttp application; a service binds constants."""
    typed = [
        f"{name_of(path)}:{call.lineno}"
        for path in python_files("services")
        for call in calls_of(path)
        if last_name(call.func) in {"add_get", "add_post", "add_put", "add_patch", "add_delete"}
    ]
    assert not typed, listed(typed, "Declare an Endpoint and bind it.")
