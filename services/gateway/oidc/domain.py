"""The rules of OpenID Connect: what a provider is configured with, where the browser is sent, which claims hold.

OpenID Connect Core 1.0, PKCE (RFC 7636), issuer identification (RFC 9207). No I/O, no clock, no randomness.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeGuard
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec
from msgspec import Meta

from services.gateway.federated import Identity, ProviderId, Refused, RoleRules, check_required

#: Signatures with a public key only: with HS256 a provider's public key could be taken for a shared secret.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
ClientAuthentication = Literal["client_secret_basic", "client_secret_post", "none"]
_SKEW_SECONDS = 60
_LONGEST_SUBJECT = 255
_LONGEST_NAME = 200


class ProviderConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One provider of AURORA_OIDC_PROVIDERS_FILE. `client_secret_file` is relative to that file.

    `userinfo` asks the provider's userinfo endpoint for claims that it doesn't put into ID tokens. `require` names
    claims and the values of which each must have one: where anybody can have an account, it says whose count.
    """

    id: ProviderId
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    issuer: str
    client_id: str
    client_secret_file: str | None = None
    client_authentication: ClientAuthentication | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    algorithms: Annotated[tuple[Algorithm, ...], Meta(min_length=1)] = ("RS256", "PS256", "ES256")
    username_claim: str = "preferred_username"
    userinfo: bool = False
    require: dict[str, tuple[str, ...]] = {}
    roles: RoleRules = RoleRules()


class ProvidersFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of AURORA_OIDC_PROVIDERS_FILE."""

    providers: list[ProviderConfig]


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What is used of a provider's discovery document (OpenID Connect Discovery 1.0)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Flow(msgspec.Struct, frozen=True):
    """A sign-in under way, as it is kept until the browser comes back."""

    provider: str
    nonce: str
    verifier: str
    next: str | None


def discovery_url(issuer: str) -> str:
    """Where the provider describes itself."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def authorization_url(config: ProviderConfig, metadata: Metadata, flow: Flow, state: str, redirect_uri: str) -> str:
    """Where the browser signs in: the code flow with PKCE, S256."""
    digest = hashlib.sha256(flow.verifier.encode()).digest()
    asked = {
        "response_type": "code",
        "client_id": config.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(dict.fromkeys(["openid", *config.scopes])),
        "state": state,
        "nonce": flow.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    endpoint = metadata.authorization_endpoint
    return endpoint + ("&" if urlsplit(endpoint).query else "?") + urlencode(asked)


def token_request(
    config: ProviderConfig, metadata: Metadata, secret: str | None, code: str, verifier: str, redirect_uri: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Form and headers that turn the code into tokens (RFC 6749, 4.1.3)."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    how = config.client_authentication
    if how is None:
        basic = "client_secret_basic" in metadata.token_endpoint_auth_methods_supported
        how = "none" if secret is None else "client_secret_basic" if basic else "client_secret_post"
    if how == "client_secret_basic":
        pair = f"{quote_plus(config.client_id)}:{quote_plus(secret or '')}"
        return form, {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    form["client_id"] = config.client_id
    if how == "client_secret_post":
        form["client_secret"] = secret or ""
    return form, {}


def check_answer_issuer(metadata: Metadata, issuer: str | None) -> None:
    """RFC 9207: an answer that another provider gave is refused (mix-up). Raises Refused."""
    if issuer is None and metadata.authorization_response_iss_parameter_supported:
        raise Refused("the answer doesn't name its issuer, though the provider says that it does")
    if issuer is not None and issuer != metadata.issuer:
        raise Refused("the answer is of another issuer")


def check_claims(claims: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, now: float) -> None:
    """OpenID Connect Core 3.1.3.7, but for the signature. Raises Refused."""
    if claims.get("iss") != issuer:
        raise Refused("ID token: wrong issuer")
    _check_audience(claims, client_id)
    _check_times(claims, now)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise Refused("ID token: wrong nonce")
    subject = claims.get("sub")
    if not _is_text(subject) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise Refused("ID token: no subject")


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences:
        raise Refused("ID token: wrong audience")
    authorized = claims.get("azp")
    if (authorized is None and len(audiences) > 1) or authorized not in (None, client_id):
        raise Refused("ID token: issued to another client")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued = _seconds(claims, "exp"), _seconds(claims, "iat")
    if expires is None or issued is None:
        raise Refused("ID token: without exp or iat")
    if expires + _SKEW_SECONDS <= now:
        raise Refused("ID token: expired")
    if max(issued, _seconds(claims, "nbf") or 0) - _SKEW_SECONDS > now:
        raise Refused("ID token: not valid yet")


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def identity_of(config: ProviderConfig, claims: Mapping[str, Any]) -> Identity:
    """Whom checked claims vouch for. Raises Refused when they lack what is required, or no role is meant for them."""
    check_required(config.require, lambda claim: values_at(claims, claim))
    subject = str(claims["sub"])
    email = _text(claims, "email") if claims.get("email_verified") is not False else None
    username = _text(claims, config.username_claim) or email or subject
    return Identity(
        "oidc",
        config.id,
        config.issuer,
        subject,
        username,
        email,
        _text(claims, "name") or username,
        config.roles.role_of(values_at(claims, config.roles.claim)),
        bool(config.roles.map),
    )


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value[:_LONGEST_NAME] if _is_text(value) and value.strip() else None


def _is_text(value: object) -> TypeGuard[str]:
    """Whether it is a string that can be stored: JSON can say U+0000 and halves of characters."""
    if not isinstance(value, str) or "\0" in value:
        return False
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in value)


def values_at(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The strings of the claim of this name, else of this dotted path (`realm_access.roles`)."""
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    members = value if isinstance(value, list) else [value]
    return tuple(member for member in members if isinstance(member, str))
