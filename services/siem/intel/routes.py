"""The HTTP edge of imported intelligence."""

from __future__ import annotations

from services.siem.intel.service import IntelService
from shared.contracts.common import Page, PageQuery
from shared.contracts.intel import (
    DELETE_INTEL_SOURCE,
    IMPORT_INTEL,
    LIST_INDICATORS,
    LIST_INTEL_SOURCES,
    LIST_VULNERABILITIES,
    LOOKUP_INTEL,
    IntelImportQuery,
    IntelIndicator,
    IntelLookup,
    IntelMatches,
    IntelQuery,
    IntelReport,
    IntelSource,
    IntelVulnerability,
    VulnerabilityQuery,
)
from shared.http import Call, Route, bind


def routes(intel: IntelService) -> list[Route]:
    """Every endpoint of intelligence, bound."""

    async def import_(call: Call[IntelImportQuery, bytes]) -> IntelReport:
        return await intel.import_(call.body, call.query, call.principal.name)

    async def indicators(call: Call[IntelQuery, None]) -> Page[IntelIndicator]:
        return await intel.indicators(call.query)

    async def vulnerabilities(call: Call[VulnerabilityQuery, None]) -> Page[IntelVulnerability]:
        return await intel.vulnerabilities(call.query)

    async def lookup(call: Call[None, IntelLookup]) -> IntelMatches:
        return await intel.lookup(call.body)

    async def sources(call: Call[PageQuery, None]) -> Page[IntelSource]:
        return await intel.sources(call.query)

    async def forget(call: Call[None, None]) -> None:
        await intel.forget(call.path["name"])

    return [
        bind(IMPORT_INTEL, import_),
        bind(LIST_INDICATORS, indicators),
        bind(LIST_VULNERABILITIES, vulnerabilities),
        bind(LOOKUP_INTEL, lookup),
        bind(LIST_INTEL_SOURCES, sources),
        bind(DELETE_INTEL_SOURCE, forget),
    ]
