"""What an access token says, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from services.gateway.sessions.domain import access_claims, principal_of, refresh_token, token_hash
from services.gateway.sessions.tokens import AccessTokens
from shared.contracts.identity import Role
from shared.errors import INVALID_CREDENTIALS, TOKEN_EXPIRED, AuroraError
from shared.identity import ROLE_PERMISSIONS
from shared.keyring import new_private_key


@dataclass(frozen=True)
class Somebody:
    id: str = "user_x"
    username: str = "x"
    role: Role = "operator"


CLAIMS = access_claims(Somebody(), "session", token_id="jti", now=1000, life_seconds=900)


def test_a_principal_has_the_permissions_of_its_role_now() -> None:
    principal = principal_of(CLAIMS)
    assert (principal.id, principal.kind, principal.session_id) == ("user_x", "user", "session")
    assert principal.permissions == ROLE_PERMISSIONS["operator"]


@pytest.mark.parametrize(
    "wrong", [{"sid": None}, {"sid": ""}, {"sid": 7}, {"role": "root"}, {"role": None}, {"role": []}, {"name": None}]
)
def test_claims_that_no_access_token_has_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AuroraError) as refused:
        principal_of({**CLAIMS, **wrong})
    assert refused.value.code is INVALID_CREDENTIALS


def test_a_token_reads_back_and_only_with_its_own_key() -> None:
    tokens = AccessTokens(new_private_key(), 900)
    token = tokens.issue(Somebody(), "session")
    assert tokens.read(token) == tokens.read(token) == principal_of(CLAIMS)
    with pytest.raises(AuroraError) as refused:
        AccessTokens(new_private_key(), 900).read(token)
    assert refused.value.code is INVALID_CREDENTIALS


def test_a_token_without_life_left_is_expired_also_when_it_was_read_before() -> None:
    tokens = AccessTokens(new_private_key(), 0)
    token = tokens.issue(Somebody(), "session")
    for _ in range(2):
        with pytest.raises(AuroraError) as refused:
            tokens.read(token)
        assert refused.value.code is TOKEN_EXPIRED


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "e30.e30.e30", "\u0000.\u0000.\u0000", "ü" * 10, "." * 5000])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(AuroraError) as refused:
        AccessTokens(new_private_key(), 900).read(text)
    assert refused.value.code is INVALID_CREDENTIALS


def test_the_published_key_is_public() -> None:
    (key,) = AccessTokens(new_private_key(), 900).jwks()["keys"]
    assert set(key) == {"kty", "crv", "alg", "use", "kid", "x"}


def test_refresh_tokens_are_kept_as_a_hash() -> None:
    token = refresh_token("random")
    assert token == "aurr_random"
    assert token.encode() not in token_hash(token)
    assert len(token_hash(token)) == 32
