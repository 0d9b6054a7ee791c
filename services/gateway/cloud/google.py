"""Google's side of a sign-in: the page of consent, the exchange of a code for tokens, and their revocation."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from services.gateway.cloud import domain
from services.gateway.cloud.domain import Granted, OAuthProblem
from shared.errors import UNAVAILABLE, VALIDATION, AuroraError
from shared.log import get_logger
from shared.outbound import Outbound, Reply

PEER = "Google"
_log = get_logger("cloud")


class GoogleCredentials(msgspec.Struct):
    """What is sealed. Without a refresh token the grant ends with the access token, within an hour."""

    token: str
    kind: str


@dataclass(frozen=True, slots=True)
class Google:
    """One OAuth client. `scopes` are separated by blanks."""

    outbound: Outbound
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    auth_url: str
    token_url: str
    revoke_url: str
    scopes: str

    def login_url(self, state: str, verifier: str) -> str:
        """Where the user's browser is to go."""
        return domain.authorization_url(self.auth_url, self.client_id, self.redirect_uri, self.scopes, state, verifier)

    async def exchange(self, code: str, verifier: str) -> Granted:
        """The grant behind a code. Raises AURORA-4220 when Google refuses the code, 5030 when nothing comes of it."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "code_verifier": verifier,
        }
        reply = await self.outbound.post_form(PEER, self.token_url, form)
        if reply.status != 200:
            raise _refused(reply)
        try:
            tokens = msgspec.json.decode(reply.body, type=domain.GoogleTokens)
        except msgspec.DecodeError as error:
            raise AuroraError(UNAVAILABLE, {"peer": PEER}, message="Google's answer can't be read") from error
        kept = (
            GoogleCredentials(tokens.access_token, "access_token")
            if tokens.refresh_token is None
            else GoogleCredentials(tokens.refresh_token, "refresh_token")
        )
        return Granted(msgspec.json.encode(kept), scopes=tuple((tokens.scope or self.scopes).split()))

    async def revoke(self, credentials: bytes) -> None:
        """Voids the grant. One that is void already is as good. Raises AURORA-5030 when Google doesn't confirm it."""
        token = msgspec.json.decode(credentials, type=GoogleCredentials).token
        reply = await self.outbound.post_form(PEER, self.revoke_url, {"token": token})
        if reply.status != 200 and _problem(reply) != "invalid_token":
            raise AuroraError(UNAVAILABLE, {"peer": PEER}, message="Google did not confirm the revocation")


def _problem(reply: Reply) -> str:
    try:
        return msgspec.json.decode(reply.body, type=OAuthProblem).error
    except msgspec.DecodeError:
        return ""


def _refused(reply: Reply) -> AuroraError:
    if _problem(reply) == "invalid_grant":
        problem = {"path": "query.code", "message": "Google does not accept this code"}
        return AuroraError(VALIDATION, [problem], message="Google does not accept this code: sign in again")
    _log.error("Google refuses this installation's client", status=reply.status)
    return AuroraError(UNAVAILABLE, {"peer": PEER}, message="Google does not accept this installation's client")
