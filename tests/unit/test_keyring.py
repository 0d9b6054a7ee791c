"""Keys that change while they are used: which are trusted when, and what is forgotten with them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from shared import keyring
from shared.errors import INVALID_CREDENTIALS, TOKEN_EXPIRED, AuroraError
from shared.identity import Signer, Verifier, service_principal
from shared.keyring import KeyRing, SigningKey, keys_of, new_private_key, service_jwk, service_kid, service_of

CALLER = service_principal("orchestrator")


def _write(file: Path, *jwks: dict[str, Any]) -> None:
    scratch = file.with_suffix(".new")
    scratch.write_text(json.dumps({"keys": jwks}))
    scratch.replace(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "identity.jwks"


@pytest.fixture
def always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is looked at on every use, not once a second."""
    monkeypatch.setattr(keyring, "LOOK_SECONDS", 0.0)


def test_a_key_id_names_the_service_and_which_of_its_keys() -> None:
    one, another = service_kid("siem", new_private_key()), service_kid("siem", new_private_key())
    assert one != another
    assert service_of(one) == service_of(another) == "siem"


def test_an_unknown_key_is_looked_for_at_once_and_a_known_one_needs_no_look(file: Path) -> None:
    pems = [new_private_key(), new_private_key()]
    _write(file, service_jwk("gateway", pems[0]))
    ring = KeyRing(file)
    verifier = Verifier("siem", ring)
    assert verifier.verify(Signer("gateway", pems[0]).sign(CALLER, "siem")) == CALLER
    _write(file, *(service_jwk("gateway", pem) for pem in pems))
    for pem in pems:
        assert verifier.verify(Signer("gateway", pem).sign(CALLER, "siem")) == CALLER


def test_what_was_verified_is_forgotten_with_the_key(file: Path, always_looking: None) -> None:
    old, new = new_private_key(), new_private_key()
    _write(file, service_jwk("gateway", old))
    verifier = Verifier("siem", KeyRing(file))
    token = Signer("gateway", old).sign(CALLER, "siem")
    assert verifier.verify(token) == verifier.verify(token) == CALLER
    _write(file, service_jwk("gateway", new))
    with pytest.raises(AuroraError) as refused:
        verifier.verify(token)
    assert refused.value.code is INVALID_CREDENTIALS


def test_a_key_retires_at_its_end_without_anybody_writing_a_file() -> None:
    pem = new_private_key()
    ring = KeyRing({"keys": [{**service_jwk("gateway", pem), "exp": time.time() + 0.2}]})
    verifier = Verifier("siem", ring)
    token = Signer("gateway", pem).sign(CALLER, "siem")
    assert verifier.verify(token) == CALLER
    version = ring.version
    deadline = time.monotonic() + 10
    while ring.version == version:
        assert time.monotonic() < deadline
    with pytest.raises(AuroraError) as refused:
        verifier.verify(token)
    assert refused.value.code is INVALID_CREDENTIALS
    assert (len(ring), list(ring), ring.jwks) == (0, [], {"keys": []})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"keys": [1]}', '{"keys": [{"kty": "RSA"}]}', '{"keys": 7}'])
def test_a_file_that_cant_be_read_leaves_the_keys_as_they_were(file: Path, always_looking: None, text: str) -> None:
    pem = new_private_key()
    _write(file, service_jwk("gateway", pem))
    ring = KeyRing(file)
    file.write_text(text)
    assert Verifier("siem", ring).verify(Signer("gateway", pem).sign(CALLER, "siem")) == CALLER
    file.unlink()
    assert service_kid("gateway", pem) in ring
    with pytest.raises(ValueError, match=r"can't be read|not a JWK set|only Ed25519"):
        KeyRing(file)


def test_a_signer_takes_its_new_key_from_the_file_and_lets_its_tokens_of_the_old_go(
    tmp_path: Path, always_looking: None
) -> None:
    file, pems = tmp_path / "gateway.key", [new_private_key(), new_private_key()]
    file.write_text(pems[0])
    signer = Signer("gateway", SigningKey(file))
    first = signer.own_token("siem")
    assert signer.own_token("siem") == first
    scratch = tmp_path / "new"
    scratch.write_text(pems[1])
    scratch.replace(file)
    second = signer.own_token("siem")
    new_only = Verifier("siem", {"keys": [service_jwk("gateway", pems[1])]})
    assert new_only.verify(second) == service_principal("gateway")
    with pytest.raises(AuroraError):
        new_only.verify(first)
    file.write_text("no key")
    assert new_only.verify(signer.own_token("siem")) == service_principal("gateway")


def test_ones_own_key_is_in_the_ring_whatever_the_file_says() -> None:
    key = SigningKey(new_private_key())
    ring = KeyRing({"keys": []}, own=key)
    assert list(ring) == [key.current().name]
    assert ring.jwks == {"keys": [key.current().jwk]}
    assert keys_of(ring.jwks).keys() == ring.keys()


def test_a_token_that_was_verified_expires_all_the_same() -> None:
    pem = new_private_key()
    verifier = Verifier("siem", {"keys": [service_jwk("gateway", pem)]})
    token = Signer("gateway", pem).sign(CALLER, "siem", ttl_seconds=1)
    assert verifier.verify(token) == CALLER
    expires = time.time() + 1.1
    while time.time() < expires:
        pass
    with pytest.raises(AuroraError) as refused:
        verifier.verify(token)
    assert refused.value.code is TOKEN_EXPIRED


def test_more_tokens_than_are_remembered_are_all_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.identity._CACHE_SIZE", 3)
    pem = new_private_key()
    verifier = Verifier("siem", {"keys": [service_jwk("gateway", pem)]})
    signer = Signer("gateway", pem)
    tokens = [signer.sign(CALLER, "siem") for _ in range(10)]
    assert {verifier.verify(token).id for token in tokens * 2} == {CALLER.id}
