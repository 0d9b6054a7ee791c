"""An alert and an investigation with nothing special about them; a test changes what it is about."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.clock import new_id, utc_now
from shared.contracts.alerts import Alert
from shared.contracts.investigations import Investigation


def alert(identifier: str = "ALRT-2026-000001", **changes: Any) -> Alert:
    """A new alert of high severity."""
    now = utc_now()
    whole = Alert(
        id=identifier,
        title="An alert",
        description="",
        severity="high",
        status="new",
        source="tests",
        type="manual",
        source_ref=identifier,
        rule_id=None,
        mitre_techniques=[],
        observables=[],
        entities={},
        evidence=[],
        count=1,
        first_seen=now,
        last_seen=now,
        created_at=now,
        updated_at=now,
        acknowledged_by=None,
        acknowledged_at=None,
        case_id=None,
        investigation_id=None,
    )
    return msgspec.structs.replace(whole, **changes)


def investigation(alert_id: str = "ALRT-2026-000001", **changes: Any) -> Investigation:
    """An investigation that just ended as malicious."""
    now = utc_now()
    whole = Investigation(
        id=new_id(),
        alert_ids=[alert_id],
        status="completed",
        severity="high",
        confidence=0.9,
        verdict="malicious",
        mitre_techniques=[],
        iocs=[],
        summary="",
        findings=[],
        citations=[],
        ruled_out=[],
        not_checked=[],
        steps=[],
        created_at=now,
        completed_at=now,
    )
    return msgspec.structs.replace(whole, **changes)
