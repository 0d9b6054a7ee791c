"""What the alert of a gap says. Pure."""

from __future__ import annotations

from datetime import datetime

from services.siem.draft import Draft

ALERT_SOURCE = "coverage"
ALERT_TYPE = "gap"


def gap_draft(rule_id: str | None, title: str | None, since: datetime, until: datetime, reason: str) -> Draft:
    """The alert of a gap that has ended. `rule_id` None: no rule could be evaluated over an event."""
    whom = "No detection rule" if rule_id is None else f"Detection rule {title or rule_id}"
    verb = "was evaluated" if rule_id is None else "was not evaluated"
    path = "/api/v1/detections/runs" if rule_id is None else f"/api/v1/detections/rules/{rule_id}/run"
    times = f'{{"since": "{_text(since)}", "until": "{_text(until)}"}}'
    return Draft(
        title=f"{whom} {verb} over a stretch of time"[:512],
        description=f"From {_text(since)} until {_text(until)} ({reason}). Fill it by POST {path} with {times}.",
        severity="medium",
        source=ALERT_SOURCE,
        type=ALERT_TYPE,
        source_ref=f"{rule_id or '*'}:{_text(since)}"[:512],
        rule_id=None,
        first_seen=since,
        last_seen=until,
    )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
