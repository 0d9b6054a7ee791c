"""Hostile SAML responses: none lets anybody in, each is refused for a reason that is logged and never told."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
import xmlsec
from lxml import etree

from tests.gateway import Gateway
from tests.saml_idp import DS, SAML, Asked, Element, Idp, Words, assertion_of, posted, response, signature_of
from tests.saml_wrapping import OF_ASSERTIONS, WRAPPINGS
from tests.sign_in import API, REFUSAL, answer, begin, free_port, gateway_with, reasons
from tests.stack import Servers

ACS = f"{API}/saml/acs"
EVIL = "admin"
XS = "http://www.w3.org/2001/XMLSchema"
IDP = Idp()
STRANGER = Idp()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("saml")
    (folder / "idp.pem").write_bytes(IDP.certificate_pem)
    provider = {
        "id": "idp",
        "name": "Test IdP",
        "entity_id": "urn:example:idp",
        "sign_in_url": "http://127.0.0.1:9/sso",
        "certificate_files": ["idp.pem"],
        "roles": {"map": {"soc-leads": "admin"}, "default": "viewer"},
    }
    (folder / "other.pem").write_bytes(STRANGER.certificate_pem)
    other = {**provider, "id": "other", "entity_id": "urn:example:other", "certificate_files": ["other.pem"]}
    async with gateway_with(servers, folder, free_port(), saml=[provider, other]) as started:
        yield started


async def _post(running: Gateway, craft: Callable[[Asked], str], provider: str = "idp") -> tuple[int, Any, Any, Any]:
    sent = await begin(running, "saml", provider=provider)
    asked = Asked.of(sent)
    form = {"SAMLResponse": craft(asked), "RelayState": asked.relay_state}
    return await answer(running, "POST", running.url + ACS, sent.cookies, data=form)


async def _refused(running: Gateway, craft: Callable[[Asked], str], provider: str = "idp") -> str:
    """The logged reason, after a look that the answer tells nothing of it and lets nobody in."""
    before = len(reasons(running))
    status, body, headers, cookies = await _post(running, craft, provider)
    assert (status, body["error"]["code"], body["error"]["message"]) == (401, "AURORA-4012", REFUSAL), body
    assert body["error"]["detail"] is None
    assert "aurora_session" not in cookies
    logged = reasons(running)[before:]
    assert len(logged) == 1
    assert logged[0]
    assert logged[0] not in str(body)
    assert headers["X-Request-ID"]
    return logged[0]


def _good(asked: Asked, **changes: Any) -> Element:
    return IDP.signed(Words.answering(asked, **changes))


async def test_a_good_response_signs_a_program_in(running: Gateway) -> None:
    status, body, _, _ = await _post(running, lambda asked: posted(_good(asked)))
    assert status == 200, body
    _, profile, _ = await running.get("/api/v1/users/me", headers=running.bearer(body["access_token"]))
    assert (profile["username"], profile["role"]) == ("grace@example.org", "viewer")
    assert (profile["email"], profile["name"]) == ("grace@example.org", "Grace Hopper")


async def test_a_response_whose_envelope_is_signed_too_is_taken(running: Gateway) -> None:
    status, body, _, _ = await _post(running, lambda asked: posted(IDP.sign(_good(asked))))
    assert status == 200, body


async def test_a_response_in_the_style_of_opensaml_is_taken(running: Gateway) -> None:
    """Types of values are names whose prefix only text bears, so it is listed for canonicalisation."""

    def craft(asked: Asked) -> str:
        text = etree.tostring(response(Words.answering(asked))).decode()
        text = text.replace("<samlp:Response ", f'<samlp:Response xmlns:xs="{XS}" xmlns:xsi="{XS}-instance" ', 1)
        text = text.replace("<saml:AttributeValue>", '<saml:AttributeValue xsi:type="xs:string">')
        root = etree.fromstring(text.replace("saml:", "saml2:").replace("xmlns:saml=", "xmlns:saml2="))
        IDP.sign(assertion_of(root), inclusive="xs")
        return posted(root)

    status, body, _, _ = await _post(running, craft)
    assert status == 200, body


SAID: dict[str, tuple[dict[str, Any], str]] = {
    "wrong audience": ({"audience": "https://elsewhere.example.org"}, "Audience|audience"),
    "no audience": ({"audience": None}, "Audience"),
    "wrong recipient": ({"recipient": "https://elsewhere.example.org/acs"}, "Recipient|SubjectConfirmation"),
    "a recipient that ours is a part of": ({"recipient": "https://x.example/?{acs}"}, "Recipient|SubjectConfirmation"),
    "no recipient": ({"recipient": None}, "Recipient"),
    "wrong destination": ({"destination": "https://elsewhere.example.org/acs"}, "Destination|received at"),
    "no destination": ({"destination": None}, "Destination"),
    "wrong InResponseTo": ({"in_response_to": "_other"}, "InResponseTo|SubjectConfirmation"),
    "no InResponseTo": ({"in_response_to": None}, "InResponseTo"),
    "wrong InResponseTo of the subject": ({"subject_in_response_to": "_other"}, "InResponseTo|SubjectConfirmation"),
    "no InResponseTo of the subject": ({"subject_in_response_to": None}, "InResponseTo"),
    "expired": ({"not_on_or_after": timedelta(minutes=-2)}, "expired"),
    "confirmation expired": ({"confirmed_until": timedelta(minutes=-2)}, "expired|SubjectConfirmation"),
    "confirmation without an end": ({"confirmed_until": None}, "expired"),
    "not yet valid": ({"not_before": timedelta(minutes=2)}, "not valid yet"),
    "another issuer": ({"issuer": "urn:example:other"}, "Issuer|issuer"),
    "not a success": ({"status": "urn:oasis:names:tc:SAML:2.0:status:Responder"}, "Success"),
    "nobody": ({"name_id": ""}, "subject|NameID"),
    "transient": ({"name_id_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"}, "transient"),
}


@pytest.mark.parametrize("name", SAID)
async def test_a_signed_response_that_says_something_else_is_refused(running: Gateway, name: str) -> None:
    changes, expected = SAID[name]

    def craft(asked: Asked) -> str:
        said = {
            field: value.format(acs=asked.acs_url) if field == "recipient" and value else value
            for field, value in changes.items()
        }
        return posted(_good(asked, **said))

    reason = await _refused(running, craft)
    assert any(word in reason for word in expected.split("|")), reason


def _unsigned(asked: Asked) -> str:
    return posted(response(Words.answering(asked)))


def _only_the_envelope_is_signed(asked: Asked) -> str:
    return posted(IDP.sign(response(Words.answering(asked))))


def _signed_by_somebody_else(asked: Asked) -> str:
    return posted(STRANGER.signed(Words.answering(asked)))


def _changed_after_signing(asked: Asked) -> str:
    root = _good(asked)
    root.find(f".//{{{SAML}}}NameID").text = EVIL
    return posted(root)


def _signature_of_another_assertion(asked: Asked) -> str:
    root, other = response(Words.answering(asked, name_id=EVIL)), _good(asked)
    assertion_of(root).insert(1, signature_of(assertion_of(other)))
    return posted(root)


def _signature_of_another_assertion_of_the_same_id(asked: Asked) -> str:
    other = _good(asked)
    same = assertion_of(other).get("ID")
    root = response(Words.answering(asked, name_id=EVIL, assertion_id=same))
    assertion_of(root).insert(1, signature_of(assertion_of(other)))
    return posted(root)


def _comment_in_the_name(asked: Asked) -> str:
    root = _good(asked, name_id="admin.evil.example")
    name = root.find(f".//{{{SAML}}}NameID")
    name.text = "admin"
    comment = etree.Comment("")
    comment.tail = ".evil.example"
    name.append(comment)
    return posted(root)


def _instruction_in_the_name(asked: Asked) -> str:
    text = etree.tostring(_good(asked)).replace(b">grace<", b">gr<?x y?>ace<")
    return base64.b64encode(text).decode()


def _with_dtd(asked: Asked) -> str:
    declared = b'<!DOCTYPE r [<!ENTITY who "admin">]>' + etree.tostring(_good(asked)).replace(b">grace<", b">&who;<")
    return base64.b64encode(declared).decode()


def _with_external_entity(asked: Asked) -> str:
    declared = b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    return base64.b64encode(declared + etree.tostring(_good(asked)).replace(b">grace<", b">&x;<")).decode()


def _with_entities_that_grow(asked: Asked) -> str:
    bomb = b'<!DOCTYPE r [<!ENTITY a0 "ha">'
    bomb += b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 20) for n in range(1, 12)) + b"]>"
    return base64.b64encode(bomb + etree.tostring(_good(asked)).replace(b">grace<", b">&a11;<")).decode()


def _with_dtd_in_another_encoding(asked: Asked) -> str:
    text = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE r [<!ENTITY who "admin">]>'
    return base64.b64encode((text + etree.tostring(_good(asked)).decode()).encode("utf-16")).decode()


def _two_assertions(asked: Asked) -> str:
    root, other = _good(asked), _good(asked, name_id=EVIL)
    root.append(assertion_of(other))
    return posted(root)


def _encrypted_beside(asked: Asked) -> str:
    root = _good(asked)
    etree.SubElement(root, f"{{{SAML}}}EncryptedAssertion")
    return posted(root)


def _sha1_signature(asked: Asked) -> str:
    return posted(IDP.signed(Words.answering(asked), method=xmlsec.constants.TransformRsaSha1))


def _sha1_digest(asked: Asked) -> str:
    return posted(IDP.signed(Words.answering(asked), digest=xmlsec.constants.TransformSha1))


def _shared_secret_for_a_signature(asked: Asked) -> str:
    root = _good(asked)
    method = root.find(f".//{{{DS}}}SignatureMethod")
    method.set("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
    return posted(root)


def _other_transform(asked: Asked) -> str:
    root = _good(asked)
    root.findall(f".//{{{DS}}}Transform")[1].set("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")
    return posted(root)


def _one_id_twice(asked: Asked) -> str:
    root = _good(asked)
    root.set("ID", assertion_of(root).get("ID"))
    return posted(root)


def _not_base64(_asked: Asked) -> str:
    return "%%%"


def _not_xml(_asked: Asked) -> str:
    return base64.b64encode(b"\x00\xff<<<").decode()


def _not_a_response(asked: Asked) -> str:
    root = _good(asked)
    return base64.b64encode(etree.tostring(assertion_of(root))).decode()


def _too_long(asked: Asked) -> str:
    return posted(_good(asked, attributes={"x": ["y" * 300_000]}))


def _deep(_asked: Asked) -> str:
    return base64.b64encode(b"<a>" * 20_000 + b"</a>" * 20_000).decode()


FORMS = [
    _unsigned,
    _only_the_envelope_is_signed,
    _signed_by_somebody_else,
    _changed_after_signing,
    _signature_of_another_assertion,
    _signature_of_another_assertion_of_the_same_id,
    _comment_in_the_name,
    _instruction_in_the_name,
    _with_dtd,
    _with_external_entity,
    _with_entities_that_grow,
    _with_dtd_in_another_encoding,
    _two_assertions,
    _encrypted_beside,
    _sha1_signature,
    _sha1_digest,
    _shared_secret_for_a_signature,
    _other_transform,
    _one_id_twice,
    _not_base64,
    _not_xml,
    _not_a_response,
    _too_long,
    _deep,
]


@pytest.mark.parametrize("craft", FORMS, ids=lambda craft: craft.__name__.strip("_"))
async def test_a_response_of_another_form_is_refused(running: Gateway, craft: Callable[[Asked], str]) -> None:
    assert await _refused(running, craft)


@pytest.mark.parametrize(
    ("name", "whole"), [*((name, True) for name in WRAPPINGS), *((name, False) for name in OF_ASSERTIONS)]
)
async def test_signature_wrapping_is_refused(running: Gateway, name: str, whole: bool) -> None:
    """`whole`: the response is signed as well as the assertion."""

    def craft(asked: Asked) -> str:
        root = _good(asked)
        return posted(WRAPPINGS[name](IDP.sign(root) if whole else root, EVIL))

    assert await _refused(running, craft)


async def test_one_identity_provider_does_not_answer_for_another(running: Gateway) -> None:
    assert await _refused(running, lambda asked: posted(_good(asked)), "other")
    assert await _refused(running, lambda asked: posted(_good(asked, issuer="urn:example:other")), "other")

    def as_the_first(asked: Asked) -> str:
        return posted(STRANGER.signed(Words.answering(asked)))

    assert "issuer" in (await _refused(running, as_the_first, "other")).lower()


async def test_an_assertion_is_used_once(running: Gateway) -> None:
    """Also when an identity provider answers a second request with what it said the first time."""

    def craft(asked: Asked) -> str:
        return posted(_good(asked, assertion_id="_the_same_one"))

    assert (await _post(running, craft))[0] == 200
    assert "used before" in await _refused(running, craft)


async def test_a_response_is_taken_once_and_only_from_the_browser_that_asked(running: Gateway) -> None:
    sent = await begin(running, "saml", provider="idp")
    asked = Asked.of(sent)
    form = {"SAMLResponse": posted(_good(asked)), "RelayState": asked.relay_state}
    url = running.url + ACS
    assert (await answer(running, "POST", url, {}, data=form))[0] == 401
    wrong = dict.fromkeys(sent.cookies, "x" * 43)
    assert (await answer(running, "POST", url, wrong, data=form))[0] == 401
    other = await begin(running, "saml", provider="idp")
    assert (await answer(running, "POST", url, other.cookies, data=form))[0] == 401
    assert (await answer(running, "POST", url, sent.cookies, data=form))[0] == 200
    assert (await answer(running, "POST", url, sent.cookies, data=form))[0] == 401


async def test_an_answer_that_nobody_asked_for_is_refused(running: Gateway) -> None:
    acs = running.url + ACS
    asked = Asked("_none", acs, f"{running.url}{API}/saml/metadata", "x" * 43)
    for form in (
        {"SAMLResponse": posted(_good(asked)), "RelayState": asked.relay_state},
        {"SAMLResponse": posted(_good(asked))},
    ):
        status, body, _, _ = await answer(running, "POST", acs, {}, data=form)
        assert (status, body["error"]["message"]) == (401, REFUSAL)


async def test_a_refusal_is_audited_with_its_reason(running: Gateway) -> None:
    reason = await _refused(running, _unsigned)
    async with asyncio.timeout(10):
        while True:
            _, page, _ = await running.get("/api/v1/audit?action=session.failed&target=idp&limit=1")
            if page["items"] and page["items"][0]["detail"]["reason"] == reason:
                break
            await asyncio.sleep(0.05)
    assert page["items"][0]["detail"] == {"how": "saml", "provider": "idp", "reason": reason}
    assert page["items"][0]["address"] == "127.0.0.1"
