"""API keys: the Auth section of the SOC page; DECISIONS, "Identity"."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import AUTHENTICATED, Endpoint
from shared.errors import INSUFFICIENT_PERMISSIONS, NOT_FOUND, UNAVAILABLE, VALIDATION

KeyName = Annotated[str, Meta(min_length=1, max_length=128)]


class CreateApiKey(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`scopes` are permission strings within the creator's own; without `expires_at` the key lives until revoked."""

    name: KeyName
    scopes: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=64)]
    expires_at: datetime | None = None


class ApiKey(msgspec.Struct, kw_only=True):
    """A key without its secret. `user_id` created it; `last_used_at` may be some seconds behind."""

    id: str
    name: str
    scopes: list[str]
    user_id: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class CreatedApiKey(ApiKey, kw_only=True):
    """`key` is `aur_<id>_<secret>`; it is told here and never again."""

    key: str


LIST_API_KEYS = Endpoint(
    "GET",
    "/api/v1/auth/api-keys",
    AUTHENTICATED,
    service="gateway",
    summary="List API keys",
    query=PageQuery,
    returns=Page[ApiKey],
    errors=(VALIDATION, INSUFFICIENT_PERMISSIONS),
    tag="Auth",
)
CREATE_API_KEY = Endpoint(
    "POST",
    "/api/v1/auth/api-keys",
    AUTHENTICATED,
    service="gateway",
    summary="Create API key",
    body=CreateApiKey,
    returns=CreatedApiKey,
    status=201,
    errors=(VALIDATION, INSUFFICIENT_PERMISSIONS),
    tag="Auth",
    max_body=16 * 1024,
)
REVOKE_API_KEY = Endpoint(
    "DELETE",
    "/api/v1/auth/api-keys/{key_id}",
    AUTHENTICATED,
    service="gateway",
    summary="Revoke API key",
    status=204,
    errors=(NOT_FOUND, INSUFFICIENT_PERMISSIONS, UNAVAILABLE),
    tag="Auth",
)
