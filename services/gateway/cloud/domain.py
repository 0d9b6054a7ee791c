"""Cloud sign-in without I/O: Google's authorization request, AWS's signature and Azure's request; what answers say."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlencode, urlsplit

import msgspec

from shared.contracts.cloud import Provider

#: How long the way through Google's page may take.
LOGIN_SECONDS = 600
#: So long a provider is asked to void what was disconnected; then it has run out, or somebody must look.
GIVE_UP_DAYS = 7
_LONGEST_WAIT_SECONDS = 900.0
#: What may be done with the credentials that a test of a role yields: nothing.
_NOTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}'
_SHORTEST_SESSION_SECONDS = 900
_ASSUMED = re.compile(rb"<Arn>arn:aws[a-z-]*:sts::(\d{12}):assumed-role/[^<]+</Arn>")
_REFUSED = re.compile(rb"<Code>(\w{1,64})</Code>")


@dataclass(frozen=True, slots=True)
class Connection:
    """A user's connection without its credentials."""

    user_id: str
    provider: Provider
    connected_at: datetime
    account: str | None = None
    identity: str | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """What a provider granted: the facts that may be shown, and the credentials, which are sealed and never shown."""

    credentials: bytes = field(repr=False)
    account: str | None = None
    identity: str | None = None
    scopes: tuple[str, ...] = ()


class GoogleTokens(msgspec.Struct):
    """RFC 6749 section 5.1, of which a sign-in needs these."""

    access_token: str
    token_type: str
    expires_in: int = 3600
    refresh_token: str | None = None
    scope: str = ""


class OAuthProblem(msgspec.Struct):
    """RFC 6749 section 5.2. `error_description` isn't read: its text isn't ours."""

    error: str = ""


class LoginState(msgspec.Struct, array_like=True):
    """What the state of an authorization request holds, sealed: whose it is, in which browser it began (the SHA-256 of
    its cookie), PKCE's verifier, and its end in epoch seconds."""

    id: str
    user_id: str
    browser: bytes
    verifier: str
    expires: int


def bound_to(provider: Provider, user_id: str) -> str:
    """What the credentials of a user at a provider are bound to."""
    return f"cloud:{provider}:{user_id}"


def challenge(verifier: str) -> str:
    """PKCE's S256 (RFC 7636)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def browser_hash(cookie: str) -> bytes:
    """How a state remembers the browser that it began in."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()


def began_in(state: LoginState, cookie: str | None) -> bool:
    """Whether this browser's cookie is the one that the sign-in began with."""
    return cookie is not None and hmac.compare_digest(browser_hash(cookie), state.browser)


def authorization_url(auth_url: str, client_id: str, redirect_uri: str, scopes: str, state: str, verifier: str) -> str:
    """Google's page of consent: code flow with PKCE, for a refresh token."""
    parameters = {
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": scopes,
        "state": state,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
        "access_type": "offline",
        "prompt": "consent",
    }
    return f"{auth_url}{'&' if urlsplit(auth_url).query else '?'}{urlencode(parameters)}"


def assume_role_form(role_arn: str, session_name: str, external_id: str | None) -> dict[str, str]:
    """An AssumeRole whose credentials may do nothing: it only finds out whether the role trusts us."""
    form = {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": role_arn,
        "RoleSessionName": session_name,
        "DurationSeconds": str(_SHORTEST_SESSION_SECONDS),
        "Policy": _NOTHING,
    }
    return form if external_id is None else {**form, "ExternalId": external_id}


def assumed_account(answer: bytes) -> str | None:
    """The account of the assumed role, of STS's answer."""
    found = _ASSUMED.search(answer)
    return None if found is None else found.group(1).decode()


def refusal(answer: bytes) -> str:
    """The code of STS's refusal, as AccessDenied; "" when there is none."""
    found = _REFUSED.search(answer)
    return "" if found is None else found.group(1).decode()


def session_name(user_id: str) -> str:
    """Who it is for, in CloudTrail of the account: at most 64 characters."""
    return "aurora-" + re.sub(r"[^\w+=,.@-]", "-", user_id)[:57]


def sigv4_headers(
    url: str, body: bytes, content_type: str, *, key_id: str, secret: str, region: str, service: str, now: datetime
) -> Mapping[str, str]:
    """The headers that sign a POST to the root of a service (AWS Signature Version 4), Content-Type and Host too."""
    host = urlsplit(url).netloc
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    signed = "content-type;host;x-amz-date"
    request = "\n".join(
        (
            "POST",
            "/",
            "",
            f"content-type:{content_type}",
            f"host:{host}",
            f"x-amz-date:{moment}",
            "",
            signed,
            _hex(body),
        )
    )
    to_sign = "\n".join(("AWS4-HMAC-SHA256", moment, scope, _hex(request.encode())))
    key = b"AWS4" + secret.encode()
    for part in (moment[:8], region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return {
        "Content-Type": content_type,
        "Host": host,
        "X-Amz-Date": moment,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={signed}, Signature={signature}",
    }


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wait_before(attempt: int, first_seconds: float) -> float:
    """Seconds until the next attempt to revoke: doubled each time, at most 15 minutes."""
    return float(min(first_seconds * 2.0 ** min(attempt, 20), _LONGEST_WAIT_SECONDS))
