"""The HTTP edge of coverage."""

from __future__ import annotations

from services.siem.coverage.service import CoverageService
from shared.contracts.coverage import GET_RULE_COVERAGE, RuleCoverage
from shared.http import Call, Route, bind


def routes(coverage: CoverageService) -> list[Route]:
    """Every coverage endpoint, bound."""

    async def of_rule(call: Call[None, None]) -> RuleCoverage:
        return await coverage.of_rule(call.path["rule_id"])

    return [bind(GET_RULE_COVERAGE, of_rule)]
