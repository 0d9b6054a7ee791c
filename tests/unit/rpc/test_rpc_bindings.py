"""Bindings: what may be bound, and how often."""

from __future__ import annotations

import pytest

from shared.rpc import CallContext, bind
from shared.rpc.methods import registry
from tests.rpc_kit import SUM, Empty, Numbers, method


async def add(params: Numbers, _context: CallContext) -> int:
    return sum(params.values)


async def nothing(_params: Empty, _context: CallContext) -> int:
    return 0


def test_a_reserved_name_cannot_be_bound() -> None:
    with pytest.raises(ValueError, match="reserved"):
        bind(method("rpc.discover", Empty, int), nothing)


def test_a_method_cannot_be_bound_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        registry([bind(SUM, add), bind(SUM, add)])
