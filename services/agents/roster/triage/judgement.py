"""How triage weighs an alert. Pure: the same evidence gives the same signs.

The rule's level is a prior: it says how sure its author is. Commands that speak for themselves add to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from services.agents.toolkit.evidence import Evidence
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.signs import Sign
from shared.contracts.common import Severity

#: How much a rule's level alone says. A high rule alone is suspicious, a medium one undetermined, a low one benign.
LEVEL_WEIGHTS: dict[Severity, float] = {"info": 0.1, "low": 0.2, "medium": 0.4, "high": 0.55, "critical": 0.7}
_ORDINARY_TIMES = 5
_ORDINARY_AGE = timedelta(days=1)


def rule_signs(evidence: Evidence) -> list[Sign]:
    """The alert's own word."""
    if evidence.alert is None or evidence.alert_citation is None:
        return []
    alert = evidence.alert
    severity: Severity = alert["severity"]
    claim = f"the alert {quote(alert['title'])} of severity {severity} counts {alert['count']} event(s)"
    techniques = tuple(alert["mitre_techniques"])
    return [Sign("alert", claim, LEVEL_WEIGHTS[severity], techniques, evidence.alert_citation)]


def is_ordinary(sightings: Mapping[str, Any], moment: datetime) -> bool:
    """Seen at least five times, for at least a day: part of how this estate is run."""
    if sightings["count"] < _ORDINARY_TIMES or sightings["first_seen"] is None:
        return False
    return moment - datetime.fromisoformat(sightings["first_seen"]) >= _ORDINARY_AGE


def weakened(signs: Sequence[Sign]) -> list[Sign]:
    """The same signs at half their weight: what is run here every day is rarely the intruder's."""
    return [replace(sign, weight=sign.weight / 2) for sign in signs]
