"""Decision records are numbered without gaps, say their status, and are in the index."""

from __future__ import annotations

import re

from tests.structure.source_tree import ROOT, listed

RECORDS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))


def test_records_are_numbered_without_gaps() -> None:
    numbers = [int(record.name[:4]) for record in RECORDS]
    assert numbers == list(range(1, len(RECORDS) + 1)), f"docs/adr holds {[record.name for record in RECORDS]}"


def test_a_record_has_its_number_and_a_status() -> None:
    bare = []
    for record in RECORDS:
        text = record.read_text()
        titled = text.startswith(f"# {int(record.name[:4])}. ")
        if not titled or not re.search(r"^Status: (proposed|accepted|superseded by \d+)$", text, re.MULTILINE):
            bare.append(record.name)
    assert not bare, listed(bare, "Begin as the template in docs/adr/README.md does: `# N. Title`, `Status: accepted`.")


def test_the_index_lists_every_record() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    missing = [record.name for record in RECORDS if f"]({record.name})" not in index]
    assert not missing, listed(missing, "Add a row to docs/adr/README.md.")
