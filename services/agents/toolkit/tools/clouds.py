"""Tools about a cloud's control plane: what a principal, a key or an address did there, in sum and step by step."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from services.agents.toolkit import geography
from services.agents.toolkit.books import CLOUD_FACTS
from services.agents.toolkit.controlplane import DATASETS, FIELDS, steps_in, summary, timeline
from services.agents.toolkit.sources import Found, Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogQuery, log_term

_PAGE = 200
_PAGES = 5
_MAX_STEPS = 30
_READ = ",".join(dict.fromkeys((*FIELDS, *sorted(CLOUD_FACTS.fields))))
_WHERE = f"event.dataset:({' or '.join(DATASETS)})"

PrincipalField = Literal["user.name", "user.id", "source.ip", "aws.cloudtrail.userIdentity.accessKeyId"]


class PrincipalArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Whose actions: a principal's by name or id, an address's, or those of one access key (a session of a role has a
    key of its own); `since` included, `until` not."""

    field: PrincipalField
    value: Annotated[str, Meta(min_length=1, max_length=512)]
    since: datetime
    until: datetime


async def _control_plane(arguments: PrincipalArguments, sources: Sources) -> Any:
    await geography.load()
    found = await _read(arguments, sources)
    return {"complete": found.complete, **summary(steps_in(found.events))}


async def _timeline(arguments: PrincipalArguments, sources: Sources) -> Any:
    found = await _read(arguments, sources)
    rows, whole = timeline(steps_in(found.events), _MAX_STEPS)
    return {"seen": len(found.events), "complete": found.complete and whole, "steps": rows}


async def _read(arguments: PrincipalArguments, sources: Sources) -> Found:
    q = f"{log_term(arguments.field, arguments.value)} {_WHERE}"
    query = LogQuery(q=q, since=arguments.since, until=arguments.until, limit=_PAGE, fields=_READ)
    return await sources.pages(query, _PAGES)


#: The answer of controlplane.summary, and whether it counts every event (`complete`; else the newest thousand).
CONTROL_PLANE = Tool(
    "control_plane", "What somebody did in a cloud's control plane", PrincipalArguments, SIEM_READ, _control_plane
)
#: {seen, complete, steps: [{at, until, count, action, provider, outcome, target, source_ip, region, log_id}]}.
PRINCIPAL_TIMELINE = Tool(
    "principal_timeline", "A principal's steps in a cloud, in their order", PrincipalArguments, SIEM_READ, _timeline
)
