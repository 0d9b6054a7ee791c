"""AWS's side of a connection: whether a role trusts this installation, and this user's external id alone.

The credentials that STS gives out on the way may do nothing, and are dropped at once: a role is assumed anew whenever
it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlencode

import msgspec

from services.gateway.cloud import domain
from services.gateway.cloud.domain import Granted
from shared.clock import utc_now
from shared.errors import UNAVAILABLE, VALIDATION, AuroraError
from shared.log import get_logger
from shared.outbound import FORM, Outbound, Reply

PEER = "AWS"
#: What STS refuses for the role's sake; any other refusal is about who asks.
_ABOUT_THE_ROLE = ("AccessDenied", "ValidationError", "RegionDisabledException")
_log = get_logger("cloud")


@dataclass(frozen=True, slots=True)
class Aws:
    """An IAM user of this installation, as which roles are assumed. `url` is STS's, at its root."""

    outbound: Outbound
    key_id: str
    secret: str = field(repr=False)
    url: str
    region: str

    async def grant(self, role_arn: str, user_id: str, external_id: str) -> Granted:
        """The role, tested. Raises AURORA-4220 when it can't be assumed, or could without the external id."""
        name = domain.session_name(user_id)
        reply = await self._assume(role_arn, name, external_id)
        account = domain.assumed_account(reply.body) if reply.status == 200 else None
        if account is None or account != role_arn.split(":")[4]:
            raise _refused(reply)
        unasked = await self._assume(role_arn, name, None)
        if unasked.status == 200:
            raise _about_the_role("trusts Aurora without asking for the external id: add the condition sts:ExternalId")
        if domain.refusal(unasked.body) != "AccessDenied":
            raise _refused(unasked)
        sealed = msgspec.json.encode({"role_arn": role_arn, "external_id": external_id})
        return Granted(sealed, account=account, identity=role_arn)

    async def _assume(self, role_arn: str, name: str, external_id: str | None) -> Reply:
        body = urlencode(domain.assume_role_form(role_arn, name, external_id)).encode()
        headers = domain.sigv4_headers(
            self.url,
            body,
            FORM,
            key_id=self.key_id,
            secret=self.secret,
            region=self.region,
            service="sts",
            now=utc_now(),
        )
        return await self.outbound.post(PEER, self.url, body, headers)


def _refused(reply: Reply) -> AuroraError:
    code = domain.refusal(reply.body)
    if code in _ABOUT_THE_ROLE:
        return _about_the_role("can't be assumed: its trust policy must name Aurora, and your external id")
    _log.error("AWS refuses this installation", status=reply.status, code=code)
    return AuroraError(UNAVAILABLE, {"peer": PEER}, message="AWS does not accept this installation's credentials")


def _about_the_role(message: str) -> AuroraError:
    return AuroraError(VALIDATION, [{"path": "body.roleArn", "message": message}], message=f"This role {message}")
