"""How far a header that names a user is believed, and what people may give themselves."""

from __future__ import annotations

import pytest

from services.gateway.accounts.domain import User, clean_email, clean_username, username_from
from services.gateway.rca.domain import principal_of, registration
from shared.clock import utc_now
from shared.contracts.identity import Role
from shared.identity import ROLE_PERMISSIONS


def _person(role: Role) -> User:
    return User("user_x", "jane", "jane@example.org", "Jane", role, utc_now())


def test_by_the_header_alone_nobody_is_more_than_an_analyst() -> None:
    principal = principal_of(_person("admin"))
    assert (principal.role, principal.permissions) == ("analyst", ROLE_PERMISSIONS["analyst"])
    assert not principal.may("Admin")
    assert not principal.may("system:write")


@pytest.mark.parametrize("role", ["analyst", "operator", "viewer"])
def test_by_the_header_everybody_else_is_what_they_are(role: Role) -> None:
    assert principal_of(_person(role)).role == role


def test_nobody_may_be_made_an_administrator_by_registering() -> None:
    assert registration(True, "viewer").role == "viewer"
    for role in ("admin", "api_service", "root", ""):
        with pytest.raises(ValueError, match="must be"):
            registration(True, role)


@pytest.mark.parametrize("address", ["a@b", "First.Last+tag@example.org", " padded@example.org ", "ünï@bücher.example"])
def test_an_address_is_kept_without_what_surrounds_it(address: str) -> None:
    assert clean_email(address) == address.strip()


def test_the_hidden_address_of_the_pages_samples_is_taken() -> None:
    assert clean_email("[email\u00a0protected]") == clean_email("[email protected]")


@pytest.mark.parametrize(
    "address", ["", "a", "@", "a@", "@b", "a b@c", "a@b@c", "<a@b>", "a@b\nBcc: c@d", "x" * 255 + "@b"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        clean_email(address)


def test_nobody_is_called_as_whoever_asks() -> None:
    for name in ("me", "ME", " Me "):
        with pytest.raises(ValueError, match="reserved"):
            clean_username(name)
    assert username_from("me", "") != "me"


def test_a_providers_name_becomes_one_that_an_account_can_have() -> None:
    assert username_from("Jané Doe") == "Jane-Doe"
    assert username_from("jane@example.org") == "jane@example.org"
    assert username_from("???") == "user"
    assert username_from("jane", "1f2e") == "jane-1f2e"
    assert len(username_from("x" * 500, "1f2e")) <= 128
