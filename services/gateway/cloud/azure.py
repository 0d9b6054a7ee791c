"""Azure's side of a connection: whether an application's client credentials are accepted by its tenant."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from services.gateway.cloud.domain import Granted, OAuthProblem
from shared.contracts.cloud import ConnectAzure
from shared.errors import UNAVAILABLE, VALIDATION, AuroraError
from shared.log import get_logger
from shared.outbound import Outbound

PEER = "Azure"
#: Of the management API: what the application may do there, its role assignments say.
_SCOPE = "https://management.azure.com/.default"
#: What the tenant refuses for the sake of what the user gave; any other refusal is about something else.
_ABOUT_THE_APPLICATION = ("invalid_client", "unauthorized_client", "invalid_request", "invalid_grant")
_log = get_logger("cloud")


class _Token(msgspec.Struct):
    """The access token of the test isn't kept: one is asked for anew whenever the connection is used."""

    access_token: str


@dataclass(frozen=True, slots=True)
class Azure:
    """`url` is the login host's, without a tenant."""

    outbound: Outbound
    url: str

    async def grant(self, given: ConnectAzure) -> Granted:
        """The credentials, tested. Raises AURORA-4220 when the tenant refuses them, 5030 when it doesn't say."""
        form = {
            "grant_type": "client_credentials",
            "client_id": given.client_id,
            "client_secret": given.client_secret,
            "scope": _SCOPE,
        }
        reply = await self.outbound.post_form(PEER, f"{self.url}/{given.tenant_id.lower()}/oauth2/v2.0/token", form)
        try:
            if reply.status == 200:
                msgspec.json.decode(reply.body, type=_Token)
                return Granted(msgspec.json.encode(given), account=given.tenant_id.lower(), identity=given.client_id)
            problem = msgspec.json.decode(reply.body, type=OAuthProblem).error
        except msgspec.DecodeError as error:
            raise AuroraError(UNAVAILABLE, {"peer": PEER}, message="Azure's answer can't be read") from error
        if problem in _ABOUT_THE_APPLICATION:
            message = "Azure does not accept this tenant, application and secret"
            raise AuroraError(VALIDATION, [{"path": "body", "message": message}], message=message)
        _log.error("Azure refuses a sign-in", status=reply.status)
        raise AuroraError(UNAVAILABLE, {"peer": PEER}, message="Azure does not answer as it should; try again later")
