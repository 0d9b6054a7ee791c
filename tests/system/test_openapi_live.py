"""The whole live gateway against its own description, by schemathesis: no status that isn't described, no answer out of
its schema, no 500, nothing invalid accepted.

Here for a bounded time and from one seed; `make fuzz-api` goes on for as long as it is told.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz_run import SETTINGS, fuzz
from tests.stack import Stack, data_folder, running_stack

#: Of each run; what it has not come to then isn't tried.
SECONDS = 14


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with data_folder() as folder, running_stack(folder, **SETTINGS) as running:
        yield running


def _assert_clean(stack: Stack, *options: str) -> None:
    code, said = fuzz(stack, SECONDS, *options)
    assert code == 0, said


def test_every_operation_answers_its_examples_as_described(stack: Stack) -> None:
    _assert_clean(stack, "--phases=examples,fuzzing", "--max-examples=1")


def test_what_is_made_can_be_worked_with_by_its_links(stack: Stack) -> None:
    _assert_clean(stack, "--phases=stateful", "--max-examples=20")


def test_every_edge_of_a_schema_is_kept(stack: Stack) -> None:
    _assert_clean(stack, "--phases=coverage", "--include-tag=Alerts", "--include-tag=Users", "--include-tag=System")
