"""What a principal's actions in a cloud's control plane add up to: totals, bursts, telling steps, a timeline. Pure.

Owns what a step is in AWS, Azure, Entra ID, Okta and Kubernetes. What a burst means is for judgement to say.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from services.agents.toolkit.books import CLOUD_FACTS
from services.agents.toolkit.factbook import Fact
from services.agents.toolkit.fitting import fitted
from services.agents.toolkit.geography import place_of
from services.agents.toolkit.journeys import Point, journeys
from shared.contracts.logs import LogEvent
from shared.contracts.wire import format_time

DATASETS = ("aws.cloudtrail", "azure.activitylogs", "azure.auditlogs", "kubernetes.audit", "okta.system")
_BURST = timedelta(minutes=10)
_TOP = 20
_FEW = 6
_FEWER = 3
_NAME = 60
#: Characters of a client's name: those of tools that build on one another are long.
AGENT = 300
_TELLING_BYTES = 6000
_TIMELINE_BYTES = 14000
_TEXT = 160
_READING = re.compile(r"^(list|describe|get|head|search|lookup|batchget|scan|query)|/read$|/list\w*/action$")
_DESTROYING = re.compile(r"^(delete|terminate|remove|purge|deregister)(?!.*(tag|marker))|/delete$")
_SECRETS = re.compile(r"^(getsecretvalue|batchgetsecretvalue|getparameters?(bypath)?|secretget)$|/secrets/read$")
_REFUSED = re.compile(r"accessdenied|unauthorized|forbidden|not ?authorized|authorizationfailed", re.IGNORECASE)
#: The cloud's own parts: what they do follows from what somebody set up before.
_AUTOMATIC = re.compile(r"^(system:(kube-|apiserver|node:|serviceaccount:kube-system:))|\.amazonaws\.com$")
_AWS, _REQUEST = "aws.cloudtrail.", "aws.cloudtrail.requestParameters."
#: What a step was done to, the most particular name first.
_TARGETS = (
    *(
        _REQUEST + name
        for name in (
            "secretId", "name", "bucketName", "userName", "roleName", "groupName", "instanceId", "functionName",
            "keyId", "snapshotId", "volumeId", "dBInstanceIdentifier", "policyArn", "groupId", "roleArn", "key",
            "instancesSet.items.instanceId",
        )
    ),
    "cloud.resource.id", "user.target.name",
)  # fmt: skip
FIELDS = (
    "event.action", "event.code", "event.provider", "event.outcome", "event.type", "error.code", "user.name", "user.id",
    "source.ip", "user_agent.original", "cloud.region", "cloud.account.id", "http.response.status_code",
    "orchestrator.namespace", "orchestrator.resource.type", "orchestrator.resource.name", "event.reason",
    _AWS + "userIdentity.type", _AWS + "userIdentity.invokedBy", _AWS + "userIdentity.accessKeyId", *_TARGETS,
)  # fmt: skip


_KEPT = ("event.action", "event.outcome", "error.code", "user.name", "source.ip", "cloud.region")


class Step(NamedTuple):
    """One action. `refused`: for want of a right; `automatic`: by the cloud itself."""

    at: datetime
    event: LogEvent
    action: str
    provider: str
    target: str
    failed: bool
    refused: bool
    reading: bool
    automatic: bool


def steps_in(events: Iterable[LogEvent]) -> list[Step]:
    """The actions among events, oldest first."""
    steps = [_step(event) for event in events if event.dataset in DATASETS]
    return sorted(steps, key=lambda step: (step.at, step.event.id))


def _step(event: LogEvent) -> Step:
    action, code = text_of(event, "event.action"), text_of(event, "error.code")
    kubernetes = event.dataset == "kubernetes.audit"
    status = text_of(event, "http.response.status_code")
    if kubernetes:
        kind = text_of(event, "orchestrator.resource.type")
        parts = [text_of(event, "orchestrator.namespace"), kind, text_of(event, "orchestrator.resource.name")]
        target, action = "/".join(part for part in parts if part), f"{action} {kind}".strip()
    else:
        target = next((text for name in _TARGETS if (text := text_of(event, name))), "")
    lowered = action.lower()
    automatic = text_of(event, _AWS + "userIdentity.type") == "AWSService" or any(
        _AUTOMATIC.search(text_of(event, name)) for name in ("user.name", _AWS + "userIdentity.invokedBy")
    )
    return Step(
        at=event.timestamp,
        event=event,
        action=action[:_TEXT],
        provider=text_of(event, "event.provider") or event.dataset,
        target=target,
        failed=text_of(event, "event.outcome") == "failure",
        refused=status in ("401", "403") or bool(_REFUSED.search(f"{code} {text_of(event, 'event.reason')}")),
        reading=bool(_READING.search(lowered)) or lowered.startswith("watch "),
        automatic=automatic,
    )


def text_of(event: LogEvent, name: str, length: int = _TEXT) -> str:
    """A field as text, the first of a list, cut; empty where it isn't there."""
    value = event.ecs.get(name)
    if isinstance(value, list):
        value = value[0] if value else None
    return "" if value is None else str(value)[:length]


def summary(steps: Sequence[Step]) -> dict[str, Any]:
    """Totals, the most of any ten minutes, and the steps that the book of facts knows, each kind of step once."""
    own = [step for step in steps if not step.automatic]
    reads = [step for step in own if step.reading]
    return {
        "count": len(steps),
        "automatic": len(steps) - len(own),
        "failed": sum(step.failed for step in own),
        "refused": sum(step.refused for step in own),
        "first": format_time(steps[0].at) if steps else None,
        "last": format_time(steps[-1].at) if steps else None,
        "actions": _top((step.action[:_NAME] for step in own), _TOP),
        "principals": _top((text_of(step.event, "user.name") for step in own), _FEWER),
        "addresses": _top((text_of(step.event, "source.ip") for step in own), _FEW),
        "agents": _top((text_of(step.event, "user_agent.original", AGENT) for step in own), _FEWER),
        "identities": _top((text_of(step.event, _AWS + "userIdentity.type") for step in own), _FEW),
        "regions": _top((text_of(step.event, "cloud.region") for step in own), _FEW),
        "burst": {
            "reads": _worst(reads, lambda step: step.action),
            "read_services": _worst(reads, lambda step: step.provider),
            "refused": _worst([step for step in own if step.refused], lambda step: step.event.id),
            "secrets": _worst([step for step in own if _is_secret(step)], lambda step: step.target or step.event.id),
            "destroyed": _worst(
                [step for step in own if _is_destroyed(step)], lambda step: step.target or step.event.id
            ),
        },
        "journeys": fitted(journeys(_points(own)), 2500),
        "telling": _telling(own),
    }


def _points(steps: Sequence[Step]) -> list[Point]:
    """Where keys and people were; a role is used from many places at once."""
    points = []
    for step in steps:
        source, kind = text_of(step.event, "source.ip"), text_of(step.event, _AWS + "userIdentity.type")
        who = text_of(step.event, _AWS + "userIdentity.accessKeyId") or text_of(step.event, "user.name")
        place = place_of(source, step.event.ecs) if kind in ("", "IAMUser") and not step.failed else None
        if place is not None:
            points.append(Point(step.at, who, source, place, step.event.id))
    return points


def _is_secret(step: Step) -> bool:
    return not step.failed and (bool(_SECRETS.search(step.action.lower())) or step.action == "get secrets")


def _is_destroyed(step: Step) -> bool:
    return not step.failed and bool(_DESTROYING.search(step.action.lower()))


def _top(values: Iterable[str], most: int) -> dict[str, int]:
    counted = Counter(value for value in values if value)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:most])


def _worst(steps: Sequence[Step], name: Callable[[Step], str]) -> int:
    """The most different names within any ten minutes."""
    held: Counter[str] = Counter()
    worst, start = 0, 0
    for step in steps:
        held[name(step)] += 1
        while steps[start].at < step.at - _BURST:
            held[name(steps[start])] -= 1
            start += 1
        held += Counter()  # drops what is no longer held
        worst = max(worst, len(held))
    return worst


def _telling(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The steps that the book knows: each combination of facts, action and outcome once, the weightiest kept."""
    found: dict[tuple[object, ...], tuple[float, dict[str, Any]]] = {}
    for step in steps:
        if facts := CLOUD_FACTS.facts_of({"dataset": step.event.dataset, "ecs": step.event.ecs}):
            key = (tuple(fact.id for fact in facts), step.action, step.failed)
            found.setdefault(key, (max(fact.weight for fact in facts), _brief(step.event, facts)))
    kept = fitted((brief for _, brief in sorted(found.values(), key=lambda item: -item[0])), _TELLING_BYTES)
    return sorted(kept, key=lambda brief: (brief["timestamp"], brief["log_id"]))


def _brief(event: LogEvent, facts: Sequence[Fact]) -> dict[str, Any]:
    """What is kept of a step of which facts hold: what they look at, texts cut."""
    names = dict.fromkeys((*_KEPT, *(name for fact in facts for name in (*fact.when, *fact.show))))
    return {
        "log_id": event.id,
        "timestamp": format_time(event.timestamp),
        "dataset": event.dataset,
        "facts": [fact.id for fact in facts],
        "ecs": {name: _short(event.ecs[name]) for name in names if name in event.ecs},
    }


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return [_short(item) for item in value[:_FEW]]
    return value[:_TEXT] if isinstance(value, str) else value


def timeline(steps: Sequence[Step], most: int) -> tuple[list[dict[str, Any]], bool]:
    """The steps in their order, like ones in a row told once with their number; and whether these are all."""
    rows: list[dict[str, Any]] = []
    last: tuple[str, ...] | None = None
    for step in steps:
        address, region = text_of(step.event, "source.ip"), text_of(step.event, "cloud.region")
        like = (step.action, str(step.failed), address, region)
        if like == last:
            rows[-1]["count"] += 1
            rows[-1]["until"] = format_time(step.at)
            continue
        last = like
        rows.append(
            {
                "at": format_time(step.at),
                "until": format_time(step.at),
                "count": 1,
                "action": step.action,
                "provider": step.provider,
                "outcome": "refused" if step.refused else "failure" if step.failed else "success",
                "target": step.target,
                "source_ip": address,
                "region": region,
                "log_id": step.event.id,
            }
        )
    newest = fitted(reversed(rows[-most:]), _TIMELINE_BYTES)
    return newest[::-1], len(newest) == len(rows)
