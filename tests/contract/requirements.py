"""The requirement ledger: every row of both API pages and of the decisions about them, as data.

A row is "done" when it names the tests that hold it in place, else "not yet". tests/structure/test_requirements.py
keeps it complete and honest. To finish a row, write its test and name it in the table it stands in: ledger_soc_*.py,
ledger_rca.py or ledger_decisions_*.py.
"""

from __future__ import annotations

from tests.contract import (
    ledger_decisions_agents,
    ledger_decisions_api,
    ledger_decisions_identity,
    ledger_rca,
    ledger_soc_agents,
    ledger_soc_endpoints,
    ledger_soc_protocol,
)
from tests.contract.ledger_row import EndpointRequirement, Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    *ledger_soc_endpoints.ROWS,
    *ledger_soc_agents.ROWS,
    *ledger_soc_protocol.ROWS,
    *ledger_rca.ROWS,
    *ledger_decisions_identity.ROWS,
    *ledger_decisions_api.ROWS,
    *ledger_decisions_agents.ROWS,
)
ENDPOINT_ROWS: tuple[EndpointRequirement, ...] = tuple(
    row for row in REQUIREMENTS if isinstance(row, EndpointRequirement)
)
