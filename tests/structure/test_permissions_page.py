"""The page of permissions says what the code does."""

from __future__ import annotations

from tests.permissions_page import PAGE, render


def test_the_page_of_permissions_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `python -m tests.permissions_page`"
