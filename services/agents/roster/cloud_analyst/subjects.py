"""Which principals of a cloud's control plane an alert is about, and by what their steps are found. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from services.agents.toolkit.controlplane import DATASETS
from services.agents.toolkit.evidence import Evidence, Seen
from services.agents.toolkit.tools.clouds import PrincipalField

_MAX_PRINCIPALS = 2
_KEY: PrincipalField = "aws.cloudtrail.userIdentity.accessKeyId"
#: The cloud's own services act by what somebody set up.
_SERVICE_TYPES = frozenset({"AWSService"})


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose steps: `field` and `value` find them, `name` is the account's, by which its past is known; `dataset` is the
    log that told of it, empty where it isn't known."""

    field: PrincipalField
    value: str
    name: str
    dataset: str


def is_cloud(seen: Seen) -> bool:
    """Whether an event is of a control plane."""
    return seen.event["dataset"] in DATASETS


def principals_of(evidence: Evidence) -> list[Principal]:
    """The principals of the alert's events, each once: by the key of a session where there is one, which keeps the
    sessions of a role apart, else by name, else by address."""
    found = [_principal(seen) for seen in evidence.events if is_cloud(seen)]
    return [item for item in dict.fromkeys(found) if item is not None][:_MAX_PRINCIPALS]


def _principal(seen: Seen) -> Principal | None:
    name, key, address = seen.field("user.name"), seen.field(_KEY), seen.field("source.ip")
    dataset = str(seen.event["dataset"])
    if seen.field("aws.cloudtrail.userIdentity.type") in _SERVICE_TYPES:
        return None
    if key:
        return Principal(_KEY, key, name, dataset)
    if name:
        return Principal("user.name", name, name, dataset)
    return Principal("source.ip", address, "", dataset) if address else None
