"""The tool that looks observables up in imported intelligence."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.common import Observable
from shared.contracts.constants import SIEM_READ
from shared.contracts.intel import IntelIndicator, IntelMatch, IntelVulnerability
from shared.contracts.wire import format_time

_TEXT = 200
_MATCHES = 30
_BENIGN = 40


class IntelArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What to look up, and the time at which indicators must be in force."""

    observables: Annotated[list[Observable], Meta(max_length=200)]
    at: datetime


async def _lookup(arguments: IntelArguments, sources: Sources) -> Any:
    found = await sources.intel(arguments.observables, arguments.at)
    # What is in force first: the record is bounded, and a revoked one may be left out sooner.
    order = ("current", "context", "expired", "revoked")
    matches = sorted(found.matches, key=lambda match: (order.index(match.indicator.status), not match.complete))
    return {
        "stored": found.indicators,
        "matches": [_match(match) for match in matches[:_MATCHES]],
        "benign": [
            {"value": item.observable.value[:_TEXT], "via": item.via, "list": item.list}
            for item in found.benign[:_BENIGN]
        ],
        "vulnerabilities": [vulnerability(item) for item in found.vulnerabilities[:_MATCHES]],
        "left_out": found.truncated or len(matches) > _MATCHES or len(found.vulnerabilities) > _MATCHES,
    }


def _match(match: IntelMatch) -> dict[str, Any]:
    indicator = match.indicator
    return {
        "type": match.observable.type,
        "value": match.observable.value[:_TEXT],
        "via": match.via,
        "complete": match.complete,
        **_indicator(indicator),
    }


def _indicator(indicator: IntelIndicator) -> dict[str, Any]:
    return {
        "indicator": indicator.value[:_TEXT],
        "source": indicator.source,
        "status": indicator.status,
        "confidence": indicator.confidence,
        "names": [{"kind": name.kind, "name": name.name} for name in indicator.names[:5]],
        "techniques": indicator.techniques[:5],
        "tlp": indicator.tlp,
        "description": indicator.description[:_TEXT],
        "reference": indicator.reference[:_TEXT],
        "valid_from": None if indicator.valid_from is None else format_time(indicator.valid_from),
        "valid_until": None if indicator.valid_until is None else format_time(indicator.valid_until),
        "warnings": indicator.warnings[:5],
    }


def vulnerability(item: IntelVulnerability) -> dict[str, Any]:
    """A vulnerability as a record has it."""
    return {
        "cve": item.cve,
        "source": item.source,
        "vendor": item.vendor,
        "product": item.product,
        "name": item.name,
        "exploited": item.exploited,
        "ransomware": item.ransomware,
        "due": None if item.due is None else item.due.isoformat(),
    }


LOOKUP_INTEL_TOOL = Tool(
    "lookup_intel", "Look observables up in imported intelligence", IntelArguments, SIEM_READ, _lookup
)
