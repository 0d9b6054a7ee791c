"""What is sealed opens only with its key, unchanged, and where it belongs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sealing import SealBroken, Sealed, SealingKeys, new_key_line


def _keys(count: int = 1) -> SealingKeys:
    return SealingKeys.parse("".join(new_key_line() for _ in range(count)))


KEYS = _keys()


@given(st.binary(), st.text(st.characters(codec="utf-8")))
def test_what_is_sealed_opens_in_its_place(secret: bytes, place: str) -> None:
    sealed = KEYS.seal(secret, place)
    assert KEYS.open(sealed, place) == secret
    assert sealed != KEYS.seal(secret, place)
    with pytest.raises(SealBroken):
        KEYS.open(sealed, place + "x")


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_any_change_breaks_the_seal(position: int, change: int) -> None:
    sealed = KEYS.seal(b"a secret", "here")
    box = bytearray(sealed.box)
    box[position % len(box)] ^= change
    with pytest.raises(SealBroken):
        KEYS.open(Sealed(sealed.key_id, bytes(box)), "here")


@pytest.mark.parametrize("length", [0, 1, 11, 12, 27])
def test_what_is_cut_off_breaks_the_seal(length: int) -> None:
    sealed = KEYS.seal(b"", "here")
    with pytest.raises(SealBroken):
        KEYS.open(Sealed(sealed.key_id, sealed.box[:length]), "here")


def test_the_first_key_seals_and_every_key_opens() -> None:
    old, new = new_key_line(), new_key_line()
    sealed = SealingKeys.parse(old).seal(b"a secret", "here")
    both = SealingKeys.parse(f"{new}\n{old}")
    assert both.current == new.split()[0]
    assert both.open(sealed, "here") == b"a secret"
    with pytest.raises(SealBroken):
        SealingKeys.parse(new).open(sealed, "here")


def test_the_name_of_a_key_is_sealed_too() -> None:
    key = b"k" * 32
    sealed = SealingKeys({"a": key}).seal(b"a secret", "here")
    with pytest.raises(SealBroken):
        SealingKeys({"b": key}).open(Sealed("b", sealed.box), "here")


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "a", "a !!", "a c2hvcnQ=", "A b " + "x" * 44, f"a {'A' * 43}=\na {'B' * 43}=", "über AAAA"],
)
def test_a_key_file_that_is_none_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        SealingKeys.parse(text)
    assert "c2hvcnQ" not in str(refused.value)
    assert "AAAA" not in str(refused.value)
