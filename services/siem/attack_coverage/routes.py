"""The HTTP edge of ATT&CK coverage."""

from __future__ import annotations

from services.siem.attack_coverage.service import AttackCoverageService
from shared.contracts.coverage import GET_ATTACK_COVERAGE, AttackCoverage, AttackCoverageQuery
from shared.http import Call, Route, bind


def routes(coverage: AttackCoverageService) -> list[Route]:
    """Every endpoint of ATT&CK coverage, bound."""

    async def report(call: Call[AttackCoverageQuery, None]) -> AttackCoverage:
        return await coverage.report(call.query.technique)

    return [bind(GET_ATTACK_COVERAGE, report)]
