"""Google, AWS STS and Azure's login as far as cloud sign-in meets them, on one local server.

Each refuses what the real one refuses: another client, secret, redirect URI or PKCE verifier, a code used before, a
signature that AWS's own library doesn't come to, a role that doesn't trust the caller or asks for another external id.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from shared.clock import utc_now

REDIRECT_URI = "http://localhost:5080/callback"
TENANT = "11111111-2222-3333-4444-555555555555"
APPLICATION = "66666666-7777-8888-9999-000000000000"
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/AuroraReadOnly"
_ACCEPTED_SKEW_SECONDS = 300
FORM = "application/x-www-form-urlencoded"


@dataclass
class Grant:
    """What somebody granted at Google's page, from the code to the end."""

    redirect_uri: str
    scope: str
    challenge: str
    refresh_token: str = field(default_factory=lambda: "1//" + secrets.token_urlsafe(32))
    access_token: str = field(default_factory=lambda: "ya29." + secrets.token_urlsafe(32))
    code_used: bool = False
    revoked: bool = False


@dataclass
class Providers:
    """The stand-ins and their memory. `away` is answered with 503, by everything but the page of consent."""

    url: str = ""
    client_id: str = "1234.apps.googleusercontent.com"
    client_secret: str = field(default_factory=lambda: "GOCSPX-" + secrets.token_urlsafe(18))
    aws_key_id: str = field(default_factory=lambda: "AKID" + secrets.token_hex(8).upper())
    aws_secret: str = field(default_factory=lambda: secrets.token_urlsafe(30))
    azure_secret: str = field(default_factory=lambda: secrets.token_urlsafe(30))
    #: Code -> grant.
    grants: dict[str, Grant] = field(default_factory=dict)
    #: Role -> the external id that its trust policy asks for, None for none.
    trusts: dict[str, str | None] = field(default_factory=dict)
    #: Every credential that was given out.
    given_out: list[str] = field(default_factory=list)
    #: The path of every request.
    seen: list[str] = field(default_factory=list)
    away: bool = False
    denies: bool = False
    redirects: bool = False

    def secret_texts(self) -> list[str]:
        """What must never be seen outside a seal."""
        return [self.client_secret, self.aws_secret, self.azure_secret, *self.given_out, *self.grants]

    def live_grants(self) -> list[Grant]:
        """Whose tokens were given out, and not revoked since."""
        return [grant for grant in self.grants.values() if grant.code_used and not grant.revoked]

    async def consent(self, request: web.Request) -> web.Response:
        """Google's page: the user agrees at once, or denies."""
        query = request.query
        well_formed = query["response_type"] == "code" and query["code_challenge_method"] == "S256" and query["scope"]
        if query["client_id"] != self.client_id or query["redirect_uri"] != REDIRECT_URI or not well_formed:
            return web.Response(status=400, text="redirect_uri_mismatch or invalid_client")
        answer = {"state": query["state"], "error": "access_denied"}
        if not self.denies:
            code = "4/" + secrets.token_urlsafe(32)
            self.grants[code] = Grant(query["redirect_uri"], query["scope"], query["code_challenge"])
            answer = {
                "state": query["state"],
                "code": code,
                "scope": query["scope"],
                "authuser": "0",
                "prompt": "consent",
            }
        return web.Response(status=302, headers={"Location": f"{REDIRECT_URI}?{urlencode(answer)}"})

    async def google_token(self, request: web.Request) -> web.Response:
        """Google's token endpoint, for codes."""
        form = await request.post()
        if form["client_id"] != self.client_id or form["client_secret"] != self.client_secret:
            return web.json_response({"error": "invalid_client"}, status=401)
        grant = self.grants.get(str(form["code"]))
        if form["grant_type"] != "authorization_code" or grant is None or grant.code_used:
            return web.json_response({"error": "invalid_grant", "error_description": "Bad Request"}, status=400)
        grant.code_used = True
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if form["redirect_uri"] != grant.redirect_uri or challenge != grant.challenge:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.given_out += [grant.refresh_token, grant.access_token]
        answer = {"access_token": grant.access_token, "refresh_token": grant.refresh_token, "token_type": "Bearer"}
        return web.json_response({**answer, "expires_in": 3599, "scope": grant.scope})

    async def google_revoke(self, request: web.Request) -> web.Response:
        """Google's revocation endpoint: the whole grant ends."""
        token = (await request.post())["token"]
        for grant in self.live_grants():
            if token in (grant.refresh_token, grant.access_token):
                grant.revoked = True
                return web.json_response({})
        return web.json_response({"error": "invalid_token"}, status=400)

    async def sts(self, request: web.Request) -> web.Response:
        """AWS STS, AssumeRole alone."""
        body = await request.text()
        refused = self._signature_problem(request, body)
        if refused is not None:
            return _sts_error(refused)
        form = {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}
        role = form["RoleArn"]
        if form["Action"] != "AssumeRole" or not 900 <= int(form["DurationSeconds"]) <= 43200:
            return _sts_error("ValidationError")
        if role not in self.trusts or self.trusts[role] not in (None, form.get("ExternalId")):
            return _sts_error("AccessDenied")
        secret, token = secrets.token_urlsafe(30), secrets.token_urlsafe(60)
        self.given_out += [secret, token]
        account, name = role.split(":")[4], role.rpartition("/")[2]
        return web.Response(
            content_type="text/xml",
            text='<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>'
            f"<AssumedRoleUser><AssumedRoleId>AROA:{form['RoleSessionName']}</AssumedRoleId>"
            f"<Arn>arn:aws:sts::{account}:assumed-role/{name}/{form['RoleSessionName']}</Arn></AssumedRoleUser>"
            f"<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
            f"<SessionToken>{token}</SessionToken></Credentials></AssumeRoleResult></AssumeRoleResponse>",
        )

    def _signature_problem(self, request: web.Request, body: str) -> str | None:
        authorization = request.headers["Authorization"]
        if f"Credential={self.aws_key_id}/" not in authorization:
            return "InvalidClientTokenId"
        if f"/{self._region(authorization)}/sts/aws4_request" not in authorization:
            return "SignatureDoesNotMatch"
        moment = request.headers["X-Amz-Date"]
        if abs((utc_now() - _moment(moment)).total_seconds()) > _ACCEPTED_SKEW_SECONDS:
            return "RequestExpired"
        expected = signature_of(self.aws_key_id, self.aws_secret, str(request.url), body, dict(request.headers), moment)
        return None if authorization.endswith(f"Signature={expected}") else "SignatureDoesNotMatch"

    def _region(self, authorization: str) -> str:
        return authorization.partition("Credential=")[2].split("/")[2]

    async def azure(self, request: web.Request) -> web.Response:
        """Azure's token endpoint, for client credentials."""
        form = await request.post()
        if request.match_info["tenant"] != TENANT:
            return web.json_response({"error": "invalid_request", "error_codes": [90002]}, status=400)
        known = form["client_id"] == APPLICATION and form["client_secret"] == self.azure_secret
        if form["grant_type"] != "client_credentials" or not str(form["scope"]).endswith("/.default") or not known:
            return web.json_response({"error": "invalid_client", "error_codes": [7000215]}, status=401)
        token = secrets.token_urlsafe(60)
        self.given_out.append(token)
        return web.json_response({"token_type": "Bearer", "expires_in": 3599, "access_token": token})


def signature_of(key_id: str, secret: str, url: str, body: str, headers: dict[str, str], moment: str) -> str:
    """What AWS's own library comes to for this request."""
    signed = {name: headers[name] for name in ("Content-Type", "Host", "X-Amz-Date")}
    request = AWSRequest("POST", url, headers=signed, data=body)
    request.context["timestamp"] = moment
    signer = SigV4Auth(Credentials(key_id, secret), "sts", "us-east-1")
    return str(signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _sts_error(code: str) -> web.Response:
    return web.Response(
        status=400 if code == "ValidationError" else 403,
        content_type="text/xml",
        text=f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code></Error></ErrorResponse>",
    )


@asynccontextmanager
async def cloud_providers() -> AsyncIterator[Providers]:
    """The stand-ins on a free port."""
    providers = Providers()

    @web.middleware
    async def away(request: web.Request, handler: Handler) -> web.StreamResponse:
        providers.seen.append(request.path)
        if providers.redirects:
            return web.Response(status=307, headers={"Location": f"{providers.url}/elsewhere"})
        if providers.away and request.path != "/o/oauth2/auth":
            return web.Response(status=503)
        return await handler(request)

    app = web.Application(middlewares=[away])
    app.router.add_get("/o/oauth2/auth", providers.consent)
    app.router.add_post("/token", providers.google_token)
    app.router.add_post("/revoke", providers.google_revoke)
    app.router.add_post("/", providers.sts)
    app.router.add_post("/{tenant}/oauth2/v2.0/token", providers.azure)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        providers.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield providers
    finally:
        await runner.cleanup()


def answer_of(location: str) -> str:
    """The query that the provider sends the browser back with."""
    return urlsplit(location).query
