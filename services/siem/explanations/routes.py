"""The HTTP edge of explanations."""

from __future__ import annotations

from services.siem.explanations.service import Explanations
from shared.contracts.explanations import EXPLAIN_RULE, Explain, Explanation
from shared.http import Call, Route, bind


def routes(explanations: Explanations) -> list[Route]:
    """The one endpoint, bound."""

    async def explain(call: Call[None, Explain]) -> Explanation:
        return await explanations.explain(call.path["rule_id"], call.body.log_id)

    return [bind(EXPLAIN_RULE, explain)]
