"""The constants of the contracts against the tables of the API pages, as the ledger has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.contracts.catalog import ENDPOINTS, ERROR_CODES
from tests.contract.ledger_row import EndpointRequirement
from tests.contract.requirements import ENDPOINT_ROWS, REQUIREMENTS

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"AURORA-\d{4}")
PAGE_CODES = {match.group(): row for row in REQUIREMENTS if (match := CODE.search(row.id)) and row.page == "SOC"}
SERVED = [row for row in ENDPOINT_ROWS if (row.method, row.path) in ENDPOINTS]


def test_the_error_table_is_the_pages() -> None:
    ours = {code: f"{row.status} {row.message}" for code, row in ERROR_CODES.items() if code in PAGE_CODES}
    assert ours == {code: row.text for code, row in PAGE_CODES.items()}


def test_codes_beside_the_page_are_explained_in_a_record() -> None:
    record = (ROOT / "docs" / "adr" / "0002-error-codes.md").read_text()
    unexplained = ERROR_CODES.keys() - PAGE_CODES.keys() - set(CODE.findall(record))
    assert not unexplained, f"say in docs/adr/0002-error-codes.md why {sorted(unexplained)} are needed"


@pytest.mark.parametrize("row", [row for row in SERVED if row.permission], ids=lambda row: row.id)
def test_an_endpoint_asks_for_the_permission_of_its_page(row: EndpointRequirement) -> None:
    assert ENDPOINTS[row.method, row.path].permission == row.permission
