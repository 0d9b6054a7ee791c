"""How a large request is cut into the parts that are parsed together."""

from __future__ import annotations

import pytest

from services.siem.logs.preparation import PART_ITEMS, Request, prepare
from shared.clock import utc_now


def lengths(items: list[bytes]) -> list[int]:
    parts = [part for part, _ in prepare(items, Request("receipt", utc_now(), "test", None, {}))]
    assert [place for part in parts for place in part.ids] == list(range(len(items)))
    return [len(part.rows) for part in parts]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (1, [1]),
        (PART_ITEMS, [PART_ITEMS]),
        (PART_ITEMS + 1, [PART_ITEMS, 1]),
        (2 * PART_ITEMS + 5, [PART_ITEMS, PART_ITEMS, 5]),
    ],
)
def test_every_item_is_in_one_part(count: int, expected: list[int]) -> None:
    assert lengths([b"a line"] * count) == expected


def test_the_records_of_an_audit_event_are_in_one_part() -> None:
    before = [b"type=USER_LOGIN msg=audit(1772366400.120:%d): pid=1" % n for n in range(PART_ITEMS - 1)]
    records = [b"type=%b msg=audit(1772366400.120:99999): x=1" % kind for kind in (b"SYSCALL", b"EXECVE", b"CWD")]
    assert lengths([*before, *records, b"a line"]) == [PART_ITEMS + 2, 1]


def test_a_part_ends_even_if_everything_says_that_it_belongs_together() -> None:
    assert lengths([b"type=PATH msg=audit(1.0:1): x=1"] * (5 * PART_ITEMS)) == [
        2 * PART_ITEMS,
        2 * PART_ITEMS,
        PART_ITEMS,
    ]
