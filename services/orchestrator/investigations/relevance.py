"""Who is asked when: one row for each specialist, with the evidence that calls for it. Pure data and predicates.

A row says in which wave a specialist goes and what must be known for it. Whoever adds a specialist adds its row; the
planner itself (domain.py) names nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.orchestrator.investigations.subject import Subject
from shared.contracts.agents import ANALYZE_THREAT
from shared.contracts.common import Observable, Verdict
from shared.contracts.constants import Method
from shared.contracts.reports import WRITE_REPORT
from shared.contracts.responses import PLAN_RESPONSE

_INDICATORS = frozenset({"ip", "domain", "url", "hash", "email"})
_CVE = re.compile(r"\bCVE-\d{4}-\d{4,}\b", re.IGNORECASE)
#: Accounts that are the machine itself: they say nothing about who signed in.
_NOBODY = re.compile(
    r"^(nt authority\\)?(system|local service|network service|anonymous logon)$|\$$|^(dwm|umfd)-\d+$|^-?$",
    re.IGNORECASE,
)

_HOST_CATEGORIES = frozenset({"process", "file", "registry", "driver", "library", "host", "package", "configuration"})
_NETWORK_CATEGORIES = frozenset({"network", "intrusion_detection", "web"})
_NETWORK_DATASETS = ("zeek", "suricata", "dns", "firewall", "netflow", "flow", "proxy", "nginx", "apache", "haproxy")
_IDENTITY_CATEGORIES = frozenset({"authentication", "iam", "session"})
_CLOUD_DATASETS = ("aws", "azure", "gcp", "google_workspace", "o365", "okta", "entra", "cloudtrail", "kubernetes")


def _techniques(names: str) -> frozenset[str]:
    return frozenset(names.split())


# ATT&CK techniques that call for a specialist, each with its sub-techniques unless one is named.
_NETWORK_TECHNIQUES = _techniques(
    "T1001 T1008 T1018 T1020 T1029 T1030 T1041 T1046 T1048 T1049 T1071 T1090 T1095 T1102 T1104 T1105 T1132 T1135 T1205"
    " T1219 T1498 T1499 T1557 T1567 T1568 T1571 T1572 T1573 T1590 T1595"
)
_IDENTITY_TECHNIQUES = _techniques(
    "T1003 T1021 T1069 T1078 T1087 T1098 T1110 T1134 T1136 T1187 T1207 T1212 T1484 T1528 T1531 T1539 T1550 T1552 T1555"
    " T1556 T1557 T1558 T1563 T1606 T1621 T1649"
)
_CLOUD_TECHNIQUES = _techniques(
    "T1078.004 T1087.004 T1069.003 T1098.001 T1098.003 T1136.003 T1484.002 T1526 T1530 T1535 T1537 T1538 T1552.005"
    " T1562.008 T1578 T1580 T1613 T1619 T1648 T1651"
)
_MALWARE_TECHNIQUES = _techniques(
    "T1027 T1036 T1055 T1105 T1140 T1204 T1218 T1486 T1496 T1505.003 T1543 T1547 T1554 T1574 T1620"
)
_EXPLOIT_TECHNIQUES = _techniques("T1068 T1133 T1189 T1190 T1203 T1210 T1211 T1212 T1505.003 T1595.002")


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known when the next wave is planned: the alerts that this round is about, the indicators and techniques
    of alerts and answers, datasets and categories of the events that were read, and the verdict so far."""

    subjects: Sequence[Subject]
    iocs: Sequence[Observable] = ()
    techniques: frozenset[str] = frozenset()
    datasets: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    verdict: Verdict | None = None

    def entities(self, *kinds: str) -> set[str]:
        """The values of some kinds of entity of the alerts."""
        return {value for subject in self.subjects for kind in kinds if (value := subject.entities.get(kind))}

    def indicators(self, *types: str) -> set[str]:
        """The values of some types of indicator."""
        return {item.value for item in self.iocs if item.type in types}

    def texts(self) -> Iterable[str]:
        """What the alerts say in words."""
        for subject in self.subjects:
            yield subject.title
            yield from subject.messages

    def has_technique(self, wanted: frozenset[str]) -> bool:
        """Whether one of them, or of their sub-techniques, is known."""
        return any(name in wanted or name.partition(".")[0] in wanted for name in self.techniques)

    def has_dataset(self, beginnings: Sequence[str]) -> bool:
        """Whether an event that was read, or an alert's source or type, is of such a dataset."""
        named = [*self.datasets, *(name for item in self.subjects for name in (item.source, item.type))]
        return any(name.lower().startswith(tuple(beginnings)) for name in named)


@dataclass(frozen=True, slots=True)
class Row:
    """A specialist's place in the plan: waves go in order, and a wave begins when the one before has answered."""

    agent: str
    wave: int
    wanted: Callable[[Scene], bool]
    method: Method[Any, Any] = ANALYZE_THREAT


def _always(_scene: Scene) -> bool:
    return True


def _threat_intel(scene: Scene) -> bool:
    return bool(scene.indicators(*_INDICATORS) or scene.entities("source_ip", "destination_ip"))


def _endpoint(scene: Scene) -> bool:
    named = scene.entities("host", "process", "process_entity_id") or scene.categories & _HOST_CATEGORIES
    # Of an alert that names nothing, with no event read yet, nobody can say that it isn't about a host.
    blank = not (scene.categories or scene.datasets or any(subject.entities for subject in scene.subjects))
    return bool(named) or blank


def _malware(scene: Scene) -> bool:
    named = scene.indicators("hash", "file") or scene.entities("file")
    return bool(scene.indicators("hash")) or (bool(named) and scene.has_technique(_MALWARE_TECHNIQUES))


def _network(scene: Scene) -> bool:
    return (
        bool(scene.indicators("ip", "domain", "url") or scene.entities("source_ip", "destination_ip"))
        or bool(scene.categories & _NETWORK_CATEGORIES)
        or scene.has_dataset(_NETWORK_DATASETS)
        or scene.has_technique(_NETWORK_TECHNIQUES)
    )


def _identity(scene: Scene) -> bool:
    people = [name for name in scene.entities("user", "target_user") if not _NOBODY.search(name)]
    return bool(people or scene.categories & _IDENTITY_CATEGORIES) or scene.has_technique(_IDENTITY_TECHNIQUES)


def _cloud(scene: Scene) -> bool:
    named = any(kind.startswith("cloud") for subject in scene.subjects for kind in subject.entities)
    return named or scene.has_dataset(_CLOUD_DATASETS) or bool(scene.techniques & _CLOUD_TECHNIQUES)


def _vulnerability(scene: Scene) -> bool:
    named = any(_CVE.search(text) for text in (*scene.texts(), *(item.value for item in scene.iocs)))
    return named or "vulnerability" in scene.categories or scene.has_technique(_EXPLOIT_TECHNIQUES)


def _alarming(scene: Scene) -> bool:
    return scene.verdict in ("suspicious", "malicious")


#: The last wave of specialists whose votes make the first verdict.
FIRST_VERDICT_WAVE = 2
#: From this wave on specialists hear what the others said, and are only asked once no alert waits for a first verdict.
LATER_FROM_WAVE = 3
#: These waves close an investigation.
CLOSING_FROM_WAVE = 4

#: In the order in which specialists of one wave are preferred where the budget is short.
RELEVANCE: tuple[Row, ...] = (
    Row("triage", 1, _always),
    Row("endpoint_analyst", 2, _endpoint),
    Row("threat_intel", 2, _threat_intel),
    Row("identity_analyst", 2, _identity),
    Row("network_analyst", 2, _network),
    Row("cloud_analyst", 2, _cloud),
    Row("malware_analyst", 2, _malware),
    Row("vulnerability_analyst", 2, _vulnerability),
    Row("threat_hunter", 3, _alarming),
    Row("forensic_analyst", 3, _alarming),
    Row("incident_responder", 4, _alarming, PLAN_RESPONSE),
    Row("report_writer", 5, _always, WRITE_REPORT),
)
