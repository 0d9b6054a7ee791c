"""A SAML response: from what a browser posts to what the identity provider signed. Takes milliseconds of CPU.

python3-saml validates schema and signature. Around it stand stricter rules of form (one assertion, one signature in its
place, no DTD, no comments, no SHA-1), and nothing is read but from the bytes whose digest was signed: they are cut out,
compared with the digest, and parsed anew.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

from lxml import etree
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from services.gateway.federated import Refused
from services.gateway.saml.domain import Assertion, Confirmation, Envelope

Element = Any
_MAX_XML = 256 * 1024
_SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"
_SAMLP = "{urn:oasis:names:tc:SAML:2.0:protocol}"
_DS = "{http://www.w3.org/2000/09/xmldsig#}"
_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_DIGESTS = {
    "http://www.w3.org/2001/04/xmlenc#sha256": hashlib.sha256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": hashlib.sha384,
    "http://www.w3.org/2001/04/xmlenc#sha512": hashlib.sha512,
}
_SIGNATURES = {
    f"http://www.w3.org/2001/04/xmldsig-more#{name}"
    for name in ("rsa-sha256", "rsa-sha384", "rsa-sha512", "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512")
}


def read(posted: str, settings: OneLogin_Saml2_Settings, request: dict[str, str]) -> tuple[Envelope, Assertion]:
    """The envelope, and the assertion that the identity provider of `settings` signed. `request` is python3-saml's
    description of where it was posted. Raises Refused; times, audience and recipient are for the domain to judge."""
    xml = _decoded(posted)
    root = parse(xml)
    assertion = _only_assertion(root)
    signature = _only_signature(assertion)
    _check_form(assertion, signature)
    try:
        OneLogin_Saml2_Response(settings, base64.b64encode(xml).decode()).is_valid(request, raise_exceptions=True)
    except Exception as error:
        # Whatever hostile XML raises in there is a refusal.
        raise Refused(f"response: {str(error)[:200]}") from error
    signed = parse(_signed_bytes(assertion, signature))
    envelope = Envelope(_text(root.find(f"{_SAML}Issuer")), root.get("Destination"), root.get("InResponseTo"))
    return envelope, _assertion(signed)


def parse(xml: bytes) -> Element:
    """The root of a document without DTD, entities, comments and processing instructions. Raises Refused."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(xml, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Refused("not an XML document") from error
    tree: Any = root.getroottree()
    if tree.docinfo.doctype or tree.docinfo.internalDTD is not None:
        raise Refused("a DTD is not accepted")
    # Comments and instructions split texts: what one reader joins, another cuts off.
    if any(not isinstance(node.tag, str) for node in tree.iter()):
        raise Refused("comments, instructions and entities are not accepted")
    return root


def _decoded(posted: str) -> bytes:
    try:
        xml = base64.b64decode("".join(posted.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("not base64") from error
    if len(xml) > _MAX_XML:
        raise Refused("the response is too long")
    return xml


def _only_assertion(root: Element) -> Element:
    if root.tag != f"{_SAMLP}Response":
        raise Refused("not a SAML response")
    if next(root.iter(f"{_SAML}EncryptedAssertion"), None) is not None:
        raise Refused("encrypted assertions are not accepted")
    assertions = list(root.iter(f"{_SAML}Assertion"))
    if len(assertions) != 1 or assertions[0].getparent() is not root:
        raise Refused("not exactly one assertion in its place")
    identifiers = [node.get(name) for node in root.iter() for name in ("ID", "Id", "id") if node.get(name) is not None]
    if len(identifiers) != len(set(identifiers)):
        raise Refused("an ID stands twice")
    return assertions[0]


def _only_signature(assertion: Element) -> Element:
    root = assertion.getparent()
    for signature in root.iter(f"{_DS}Signature"):
        if signature.getparent() not in (root, assertion):
            raise Refused("a signature out of its place")
    found = assertion.findall(f"{_DS}Signature")
    if len(found) != 1:
        raise Refused("the assertion is not signed")
    return found[0]


def _check_form(assertion: Element, signature: Element) -> None:
    """Raises Refused unless the signature is over exactly this assertion, by algorithms of today."""
    for each in assertion.getparent().iter(f"{_DS}SignatureMethod"):
        if each.get("Algorithm") not in _SIGNATURES:
            raise Refused("signature algorithm not accepted")
    for each in assertion.getparent().iter(f"{_DS}DigestMethod"):
        if each.get("Algorithm") not in _DIGESTS:
            raise Refused("digest algorithm not accepted")
    if next(signature.iter(f"{_DS}Object"), None) is not None:
        raise Refused("a signature with an object")
    references = list(signature.iter(f"{_DS}Reference"))
    if len(references) != 1 or not assertion.get("ID") or references[0].get("URI") != "#" + assertion.get("ID"):
        raise Refused("the signature is over something else")
    transforms = [each.get("Algorithm") for each in references[0].iter(f"{_DS}Transform")]
    if transforms != [_ENVELOPED, _EXCLUSIVE]:
        raise Refused("transforms not accepted")


def _signed_bytes(assertion: Element, signature: Element) -> bytes:
    """The very bytes whose digest is in the signature. Raises Refused when the digest is of others."""
    document = copy.deepcopy(assertion.getroottree())
    copied = document.getroot().find(f"{_SAML}Assertion")
    enveloped = copied.find(f"{_DS}Signature")
    _remove_keeping_tail(enveloped)
    prefixes = [
        name
        for node in signature.iter(f"{{{_EXCLUSIVE}}}InclusiveNamespaces")
        for name in node.get("PrefixList", "").split()
    ]
    data = etree.tostring(
        copied, method="c14n", exclusive=True, with_comments=False, inclusive_ns_prefixes=prefixes, with_tail=False
    )
    reference = next(signature.iter(f"{_DS}Reference"))
    digest = _DIGESTS[reference.find(f"{_DS}DigestMethod").get("Algorithm")](data).digest()
    stated = base64.b64decode("".join((_text(reference.find(f"{_DS}DigestValue")) or "").split()))
    if not hmac.compare_digest(digest, stated):
        raise Refused("the signature is over other bytes")
    return bytes(data)


def _remove_keeping_tail(node: Element) -> None:
    parent, before = node.getparent(), node.getprevious()
    if node.tail and before is not None:
        before.tail = (before.tail or "") + node.tail
    elif node.tail:
        parent.text = (parent.text or "") + node.tail
    parent.remove(node)


def _assertion(root: Element) -> Assertion:
    if root.tag != f"{_SAML}Assertion":
        raise Refused("not an assertion")
    conditions = _one(root, "Conditions")
    statement = _one(root, "AuthnStatement")
    subject = _one(root, "Subject")
    name_ids = subject.findall(f"{_SAML}NameID")
    name_id = name_ids[0] if len(name_ids) == 1 else None
    return Assertion(
        str(root.get("ID")),
        _text(root.find(f"{_SAML}Issuer")),
        _text(name_id),
        None if name_id is None else name_id.get("Format"),
        tuple(_confirmation(found) for found in subject.findall(f"{_SAML}SubjectConfirmation")),
        _moment(conditions.get("NotBefore")),
        _moment(conditions.get("NotOnOrAfter")),
        _moment(statement.get("SessionNotOnOrAfter")),
        tuple(
            tuple(_text(name) or "" for name in restriction.findall(f"{_SAML}Audience"))
            for restriction in conditions.findall(f"{_SAML}AudienceRestriction")
        ),
        _attributes(root),
    )


def _one(parent: Element, name: str) -> Element:
    found = parent.findall(_SAML + name)
    if len(found) != 1:
        raise Refused(f"not exactly one {name}")
    return found[0]


def _confirmation(node: Element) -> Confirmation:
    data = node.find(f"{_SAML}SubjectConfirmationData")
    given = {} if data is None else data.attrib
    return Confirmation(
        node.get("Method"),
        given.get("Recipient"),
        given.get("InResponseTo"),
        _moment(given.get("NotBefore")),
        _moment(given.get("NotOnOrAfter")),
    )


def _attributes(root: Element) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for attribute in root.iterfind(f"{_SAML}AttributeStatement/{_SAML}Attribute"):
        values = [_text(value) for value in attribute.findall(f"{_SAML}AttributeValue")]
        name = attribute.get("Name", "")
        found[name] = found.get(name, ()) + tuple(value for value in values if value)
    return found


def _text(node: Element | None) -> str | None:
    # Whatever has elements inside isn't a text.
    return None if node is None or len(node) else (node.text or "").strip()


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused("not a time") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
