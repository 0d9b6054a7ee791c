"""What one row of the requirement ledger is, and how the tables beside it are written. Knows no page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Page = Literal["SOC", "RCA", "DECISIONS"]
Status = Literal["done", "not yet"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing a page asks for.

    `id` is unique and begins with the page; `where` is the heading on the page; `text` is the page's own words or
    their shortest faithful form; `tests` are the node ids of the tests that fail without it.
    """

    id: str
    page: Page
    where: str
    text: str
    tests: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """Done is what a test holds in place; nothing else counts."""
        return "done" if self.tests else "not yet"


@dataclass(frozen=True, slots=True)
class EndpointRequirement(Requirement):
    """A row that is an HTTP route or a WebSocket. `path` is written as Endpoint constants write it; `permission` is
    None where the page names none."""

    method: str = ""
    path: str = ""
    permission: str | None = None


def endpoints(page: Page, where: str, *rows: tuple[str, ...]) -> tuple[EndpointRequirement, ...]:
    """Rows as on the SOC page: method, path, description, permission, and then the tests."""
    return tuple(
        EndpointRequirement(
            id=f"{page} {method} {path}",
            page=page,
            where=where,
            text=text,
            tests=tests,
            method=method,
            path=path,
            permission=permission or None,
        )
        for method, path, text, permission, *rest in rows
        for tests in (tuple(rest),)
    )


def rows(page: Page, where: str, *rows: tuple[str, ...]) -> tuple[Requirement, ...]:
    """Anything else: a short name that is unique under its heading, the text, and then the tests."""
    return tuple(Requirement(f"{page} {where}: {name}", page, where, text, tuple(tests)) for name, text, *tests in rows)


def bullet(section: str, number: int, *entries: tuple[str, ...]) -> tuple[Requirement, ...]:
    """What one bullet of the decisions asks for; `number` counts the bullets of its section from 1."""
    return rows("DECISIONS", f"{section} {number}", *entries)
