"""API keys: the Auth section of the SOC page; DECISIONS, "Identity"."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import AUTHENTICATED, Endpoint
from shared.errors import CONFLICT, INSUFFICIENT_PERMISSIONS, NOT_FOUND, UNAVAILABLE, VALIDATION

KeyName = Annotated[str, Meta(min_length=1, max_length=128)]


class CreateApiKey(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`scopes` are permission strings within the creator's own; without `expires_at` the key lives until revoked."""

    name: KeyName
    scopes: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=64)]
    expires_at: datetime | None = None


class RotateApiKey(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`grace_seconds`: how long the secret until now is taken beside the new one, at most a week."""

    grace_seconds: Annotated[int, Meta(ge=0, le=7 * 24 * 3600)] = 0


class ApiKey(msgspec.Struct, kw_only=True):
    """A key without its secret. `user_id` created it; `last_used_at` may be some seconds behind.

    `rotated_at` is when it got the secret it has, `previous_until` the end of the one before, where that is to come.
    """

    id: str
    name: str
    scopes: list[str]
    user_id: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    rotated_at: datetime | None = None
    previous_until: datetime | None = None


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
ROTATE_API_KEY = Endpoint(
    "POST",
    "/api/v1/auth/api-keys/{key_id}/rotate",
    AUTHENTICATED,
    service="gateway",
    summary="Give an API key a new secret",
    body=RotateApiKey,
    returns=CreatedApiKey,
    errors=(NOT_FOUND, INSUFFICIENT_PERMISSIONS, CONFLICT, VALIDATION, UNAVAILABLE),
    tag="Auth",
    max_body=16 * 1024,
)
