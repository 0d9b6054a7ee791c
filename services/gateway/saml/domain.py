"""The rules of SAML 2.0's web browser profile: what an identity provider is configured with, which assertions hold.

Judges an Assertion whose signature was verified (response.py). No I/O, no clock, no randomness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from services.gateway.federated import Identity, ProviderId, Refused, RoleRules, check_required

BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
#: How far the provider's clock and ours may be apart.
SKEW = timedelta(seconds=60)
_LONGEST_SUBJECT = 255
_LONGEST_NAME = 200


class ProviderConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One provider of AURORA_SAML_PROVIDERS_FILE, to which files are relative.

    Either `metadata_file`, or `entity_id`, `sign_in_url` and `certificate_files` (several while the provider changes
    its key). `*_attribute` name attributes of the assertion; without `subject_attribute` the NameID is the subject.
    `require` names attributes and the values of which each must have one.
    """

    id: ProviderId
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    metadata_file: str | None = None
    entity_id: str | None = None
    sign_in_url: str | None = None
    certificate_files: list[str] = []
    name_id_format: str = PERSISTENT
    subject_attribute: str | None = None
    username_attribute: str | None = None
    email_attribute: str = "email"
    name_attribute: str = "name"
    require: dict[str, tuple[str, ...]] = {}
    roles: RoleRules = RoleRules()


class ProvidersFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of AURORA_SAML_PROVIDERS_FILE."""

    providers: list[ProviderConfig]


class Flow(msgspec.Struct, frozen=True):
    """A sign-in under way, as it is kept until the browser comes back."""

    provider: str
    request_id: str
    next: str | None


@dataclass(frozen=True, slots=True)
class Expected:
    """Whom an answer must come from, whom it must be for, and which request it must answer."""

    idp: str
    audience: str
    acs_url: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the response around the assertion says; it is not signed, and only ever a reason to refuse."""

    issuer: str | None
    destination: str | None
    in_response_to: str | None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A SubjectConfirmation with its data."""

    method: str | None
    recipient: str | None
    in_response_to: str | None
    not_before: datetime | None
    not_on_or_after: datetime | None


@dataclass(frozen=True, slots=True)
class Assertion:
    """What the identity provider signed. `audiences` holds one tuple for each AudienceRestriction."""

    id: str
    issuer: str | None
    name_id: str | None
    name_id_format: str | None
    confirmations: tuple[Confirmation, ...]
    not_before: datetime | None
    not_on_or_after: datetime | None
    session_not_on_or_after: datetime | None
    audiences: tuple[tuple[str, ...], ...]
    attributes: Mapping[str, tuple[str, ...]]


def check_envelope(envelope: Envelope, expected: Expected) -> None:
    """Raises Refused when the response isn't the answer to our request, given to us."""
    if envelope.destination != expected.acs_url:
        raise Refused("wrong Destination")
    if envelope.in_response_to != expected.request_id:
        raise Refused("wrong InResponseTo")
    if envelope.issuer not in (None, expected.idp):
        raise Refused("wrong Issuer of the response")


def check_assertion(assertion: Assertion, expected: Expected, now: datetime) -> datetime:
    """Until when the assertion may be used, and so must be remembered. Raises Refused when it may not be used."""
    if assertion.issuer != expected.idp:
        raise Refused("wrong Issuer of the assertion")
    if not assertion.audiences or not all(expected.audience in names for names in assertion.audiences):
        raise Refused("wrong Audience")
    if assertion.not_before is not None and assertion.not_before - SKEW > now:
        raise Refused("the assertion is not valid yet")
    for end in (assertion.not_on_or_after, assertion.session_not_on_or_after):
        if end is not None and end + SKEW <= now:
            raise Refused("the assertion has expired")
    return max(_confirmed_until(found, expected, now) for found in _bearers(assertion)) + SKEW


def _bearers(assertion: Assertion) -> list[Confirmation]:
    bearers = [found for found in assertion.confirmations if found.method == BEARER]
    if not bearers:
        raise Refused("no bearer SubjectConfirmation")
    return bearers


def _confirmed_until(confirmation: Confirmation, expected: Expected, now: datetime) -> datetime:
    # Every one must hold, not one of several: an assertion made out to somebody else too is not for us.
    if confirmation.recipient != expected.acs_url:
        raise Refused("wrong Recipient")
    if confirmation.in_response_to != expected.request_id:
        raise Refused("wrong InResponseTo of the subject")
    if confirmation.not_before is not None:
        raise Refused("a bearer confirmation must not have NotBefore")
    if confirmation.not_on_or_after is None or confirmation.not_on_or_after + SKEW <= now:
        raise Refused("the subject's confirmation has expired")
    return confirmation.not_on_or_after


def identity_of(config: ProviderConfig, assertion: Assertion) -> Identity:
    """Whom a checked assertion vouches for. Raises Refused when it doesn't say, or no role is meant for them."""
    check_required(config.require, lambda name: assertion.attributes.get(name, ()))
    subject = _subject(config, assertion)
    email = _attribute(assertion, config.email_attribute)
    username = _attribute(assertion, config.username_attribute) or email or subject
    return Identity(
        "saml",
        config.id,
        str(assertion.issuer),
        subject,
        username[:_LONGEST_NAME],
        email,
        _attribute(assertion, config.name_attribute) or username[:_LONGEST_NAME],
        config.roles.role_of(assertion.attributes.get(config.roles.claim, ())),
        bool(config.roles.map),
    )


def _subject(config: ProviderConfig, assertion: Assertion) -> str:
    if config.subject_attribute is not None:
        values = assertion.attributes.get(config.subject_attribute, ())
        subject = values[0] if len(values) == 1 else None
    elif assertion.name_id_format == TRANSIENT:
        raise Refused("a transient NameID names nobody: set subject_attribute")
    else:
        subject = assertion.name_id
    if not subject or len(subject) > _LONGEST_SUBJECT:
        raise Refused("no subject")
    return subject


def _attribute(assertion: Assertion, name: str | None) -> str | None:
    values = () if name is None else assertion.attributes.get(name, ())
    return values[0][:_LONGEST_NAME] if values and values[0].strip() else None
