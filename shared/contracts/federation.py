"""Signing in by a provider of identities: OpenID Connect and SAML 2.0 (SOC page, "Auth")."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from shared.contracts.constants import PUBLIC, Endpoint
from shared.contracts.identity import TokenResponse
from shared.errors import INVALID_CREDENTIALS, NOT_FOUND, UNAVAILABLE, VALIDATION

Text = Annotated[str, Meta(max_length=2048)]


class SignInQuery(msgspec.Struct, kw_only=True):
    """`provider` is an id of GET /auth/providers; it may be left out where there is only one of the kind.

    With `next`, a path of this server, the sign-in ends there with a session cookie; without it with tokens as JSON.
    """

    provider: Annotated[str, Meta(max_length=64)] | None = None
    next: Text | None = None


class OidcAnswer(msgspec.Struct, kw_only=True):
    """What a provider sends the browser back with: OpenID Connect Core 3.1.2.5, RFC 9207 (`iss`)."""

    state: Text | None = None
    code: Annotated[str, Meta(max_length=8192)] | None = None
    error: Text | None = None
    error_description: Text | None = None
    iss: Text | None = None


class SamlAnswer(msgspec.Struct, kw_only=True):
    """The form of SAML's HTTP POST binding. `saml_response` is base64."""

    saml_response: str = msgspec.field(name="SAMLResponse")
    relay_state: Annotated[str, Meta(max_length=80)] | None = msgspec.field(name="RelayState", default=None)


OIDC_LOGIN = Endpoint(
    "GET",
    "/api/v1/auth/oidc/login",
    PUBLIC,
    service="gateway",
    summary="Initiate OIDC login flow",
    query=SignInQuery,
    status=302,
    errors=(NOT_FOUND, UNAVAILABLE),
    tag="Auth",
)
OIDC_CALLBACK = Endpoint(
    "GET",
    "/api/v1/auth/oidc/callback",
    PUBLIC,
    service="gateway",
    summary="OIDC callback handler",
    query=OidcAnswer,
    returns=TokenResponse,
    also=(303,),
    errors=(INVALID_CREDENTIALS, VALIDATION, UNAVAILABLE),
    tag="Auth",
)
SAML_LOGIN = Endpoint(
    "GET",
    "/api/v1/auth/saml/login",
    PUBLIC,
    service="gateway",
    summary="Initiate SAML login",
    query=SignInQuery,
    status=302,
    errors=(NOT_FOUND, UNAVAILABLE),
    tag="Auth",
)
SAML_ACS = Endpoint(
    "POST",
    "/api/v1/auth/saml/acs",
    PUBLIC,
    service="gateway",
    summary="SAML assertion consumer",
    body=SamlAnswer,
    returns=TokenResponse,
    also=(303,),
    errors=(INVALID_CREDENTIALS, UNAVAILABLE),
    tag="Auth",
    consumes=("application/x-www-form-urlencoded",),
    max_body=512 * 1024,
)
SAML_METADATA = Endpoint(
    "GET",
    "/api/v1/auth/saml/metadata",
    PUBLIC,
    service="gateway",
    summary="Metadata of Aurora as a SAML service provider",
    returns=str,
    errors=(NOT_FOUND,),
    tag="Auth",
    produces="application/samlmetadata+xml",
)
