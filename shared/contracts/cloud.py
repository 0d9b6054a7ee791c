"""Cloud accounts of a user: the section "Cloud Provider Endpoints" of the RCA page, for Google Cloud, AWS and Azure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.constants import AUTHENTICATED, PUBLIC, Endpoint
from shared.errors import (
    AUTHENTICATION_REQUIRED,
    CONFLICT,
    INSUFFICIENT_PERMISSIONS,
    INVALID_CREDENTIALS,
    UNAVAILABLE,
    VALIDATION,
)

Provider = Literal["gcp", "aws", "azure"]
ConnectionStatus = Literal["connected", "disconnected", "revoking"]
# Before `$`, which Python has match before a last line feed too, none is allowed.
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?!\n)$")]
RoleArn = Annotated[
    str, Meta(pattern=r"^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}(?!\n)$", max_length=600)
]
#: What OAuth hands through a browser: printable ASCII.
OAuthText = Annotated[str, Meta(max_length=4096, pattern=r"^[\x20-\x7e]*$")]
_TAG = "Cloud"
_ERRORS = (INSUFFICIENT_PERMISSIONS, VALIDATION, UNAVAILABLE)


class StartLogin(msgspec.Struct, rename="camel"):
    """`userId` is the caller's own id."""

    user_id: Annotated[str, Meta(min_length=1, max_length=128)]


class LoginStarted(msgspec.Struct):
    """Where the browser that asked goes on: Google's page of consent. Good for ten minutes, once."""

    login_url: str


class CallbackQuery(msgspec.Struct):
    """What Google sends the browser back with: `code`, or `error` when access wasn't granted."""

    state: OAuthText
    code: OAuthText | None = None
    error: OAuthText | None = None


class CloudConnection(msgspec.Struct, rename="camel", kw_only=True):
    """A user's connection to one cloud; never its credentials.

    `account` is the AWS account or the Azure tenant, `identity` the role or the application that is used, `scopes`
    what Google granted. `externalId` (AWS) is what the role's trust policy must ask for. While `revoking`, the
    provider hasn't confirmed yet that the last credentials are void; it is asked again in the background.
    """

    provider: Provider
    status: ConnectionStatus
    connected_at: datetime | None = None
    account: str | None = None
    identity: str | None = None
    scopes: list[str] = []
    external_id: str | None = None


class ConnectAws(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The role that Aurora shall assume. Its trust policy must ask for the `externalId` of GET /api/aws/status."""

    role_arn: RoleArn


class ConnectAzure(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """An application (service principal) of the tenant, and its secret."""

    tenant_id: Uuid
    client_id: Uuid
    client_secret: Annotated[str, Meta(min_length=1, max_length=512)]


class CloudDisconnected(msgspec.Struct):
    """The credentials are gone (`disconnected`), or wait for the provider to void them (`revoking`)."""

    message: str
    provider: Provider
    status: ConnectionStatus


START_GCP_LOGIN = Endpoint(
    "POST",
    "/login",
    AUTHENTICATED,
    service="gateway",
    summary="Initiate GCP OAuth flow",
    body=StartLogin,
    returns=LoginStarted,
    errors=(*_ERRORS, CONFLICT),
    tag=_TAG,
    max_body=4096,
)
# The browser comes from Google's page. Who it is, its cookie or its session says: see docs/cloud.md.
FINISH_GCP_LOGIN = Endpoint(
    "GET",
    "/callback",
    PUBLIC,
    service="gateway",
    summary="Handle OAuth callback from Google",
    query=CallbackQuery,
    returns=CloudConnection,
    also=(303,),
    errors=(*_ERRORS, CONFLICT, AUTHENTICATION_REQUIRED, INVALID_CREDENTIALS),
    tag=_TAG,
)
GET_GCP_STATUS = Endpoint(
    "GET",
    "/api/gcp/status",
    AUTHENTICATED,
    service="gateway",
    summary="Whether the caller's Google Cloud account is connected",
    returns=CloudConnection,
    errors=_ERRORS,
    tag=_TAG,
)
DISCONNECT_GCP = Endpoint(
    "POST",
    "/api/gcp/force-disconnect",
    AUTHENTICATED,
    service="gateway",
    summary="Disconnect GCP account and clear credentials",
    returns=CloudDisconnected,
    errors=_ERRORS,
    tag=_TAG,
)
CONNECT_AWS = Endpoint(
    "POST",
    "/api/aws/connect",
    AUTHENTICATED,
    service="gateway",
    summary="Connect an AWS account by a role that Aurora may assume",
    body=ConnectAws,
    returns=CloudConnection,
    errors=_ERRORS,
    tag=_TAG,
    max_body=4096,
)
GET_AWS_STATUS = Endpoint(
    "GET",
    "/api/aws/status",
    AUTHENTICATED,
    service="gateway",
    summary="Whether the caller's AWS account is connected, and the external id for its trust policy",
    returns=CloudConnection,
    errors=_ERRORS,
    tag=_TAG,
)
DISCONNECT_AWS = Endpoint(
    "POST",
    "/api/aws/disconnect",
    AUTHENTICATED,
    service="gateway",
    summary="Disconnect AWS account and clear credentials",
    returns=CloudDisconnected,
    errors=_ERRORS,
    tag=_TAG,
)
CONNECT_AZURE = Endpoint(
    "POST",
    "/api/azure/connect",
    AUTHENTICATED,
    service="gateway",
    summary="Connect an Azure tenant by an application's client credentials",
    body=ConnectAzure,
    returns=CloudConnection,
    errors=_ERRORS,
    tag=_TAG,
    max_body=4096,
)
GET_AZURE_STATUS = Endpoint(
    "GET",
    "/api/azure/status",
    AUTHENTICATED,
    service="gateway",
    summary="Whether the caller's Azure tenant is connected",
    returns=CloudConnection,
    errors=_ERRORS,
    tag=_TAG,
)
DISCONNECT_AZURE = Endpoint(
    "POST",
    "/api/azure/disconnect",
    AUTHENTICATED,
    service="gateway",
    summary="Disconnect Azure tenant and clear credentials",
    returns=CloudDisconnected,
    errors=_ERRORS,
    tag=_TAG,
)
