"""How names compare and passwords are hashed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.accounts.domain import comparison_key, hash_password, password_matches, user_id

FAST = 4


@given(st.text(min_size=1, max_size=200))
@settings(max_examples=30, deadline=None)
def test_any_password_matches_its_own_hash(password: str) -> None:
    assert password_matches(password, hash_password(password, cost=FAST))


def test_passwords_longer_than_bcrypt_reads_are_told_apart() -> None:
    hashed = hash_password("a" * 100 + "1", cost=FAST)
    assert not password_matches("a" * 100 + "2", hashed)
    assert not password_matches("a" * 72, hashed)


def test_a_nul_doesnt_end_a_password() -> None:
    assert not password_matches("abc\0def", hash_password("abc\0xyz", cost=FAST))


def test_the_same_password_never_has_the_same_hash() -> None:
    assert hash_password("secret", cost=FAST) != hash_password("secret", cost=FAST)


def test_a_password_may_be_typed_on_any_keyboard() -> None:
    assert password_matches("cafe\u0301", hash_password("caf\u00e9", cost=FAST))


@pytest.mark.parametrize("other", ["ADMIN", " admin ", "\uff41dmin", "Admin"])
def test_names_that_look_the_same_are_the_same(other: str) -> None:
    assert comparison_key(other) == comparison_key("admin")


def test_a_user_id_holds_all_128_bits() -> None:
    identifier = user_id(bytes(range(16)))
    assert identifier == "user_aaaqeayeaudaocajbifqydiob4"
    with pytest.raises(ValueError, match="16"):
        user_id(b"short")
