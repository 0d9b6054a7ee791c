"""docs/permissions.md from the code: `python -m tests.permissions_page` writes it, a test keeps it current."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from shared.contracts.catalog import ENDPOINTS
from shared.contracts.constants import ADMIN, AUTHENTICATED, PUBLIC, SCOPES
from shared.contracts.identity import Role
from shared.identity import ROLE_PERMISSIONS, SERVICE_PERMISSIONS

PAGE = Path(__file__).parent.parent / "docs" / "permissions.md"
_HEAD = """# Who may do what

Made from the code by `python -m tests.permissions_page`; a test keeps it current. How people, keys and services prove
who they are is in [identity](identity.md).

Deny is the default. An endpoint needs one permission: a scope of the table below, `Authenticated` (anybody who proved
who they are), `Admin` (a user of the role `admin`, never a key) or none (`Public`). A permission that is missing is 403
AURORA-4030, with its name in `detail.required`.

## Roles

`api_service` has no permission of its own: it is the role of API keys, and a key has its scopes, as far as its owner's
role has them at that moment.
"""
_SERVICES = """
## Services

What each service may do in its own name. The gateway alone may speak for others, each time for one caller and to one
service.
"""
_ENDPOINTS = """
## Endpoints
"""


def render() -> str:
    """The whole page."""
    roles = get_args(Role)
    rows = [(f"`{scope}`", *("yes" if scope in ROLE_PERMISSIONS[role] else "" for role in roles)) for scope in SCOPES]
    services = [(name, _codes(sorted(granted)) or "nothing") for name, granted in SERVICE_PERMISSIONS.items()]
    endpoints = [
        (f"`{endpoint.method}`", f"`{endpoint.path}`", _needs(endpoint.permission))
        for endpoint in sorted(ENDPOINTS.values(), key=lambda endpoint: (endpoint.path, endpoint.method))
    ]
    return "\n".join(
        [
            _HEAD,
            _table(("permission", *roles), rows),
            _SERVICES,
            _table(("service", "permissions"), services),
            _ENDPOINTS,
            _table(("method", "path", "needs"), endpoints),
            "",
        ]
    )


def _needs(permission: str) -> str:
    return permission if permission in (PUBLIC, AUTHENTICATED, ADMIN) else f"`{permission}`"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
