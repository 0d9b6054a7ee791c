"""An identity provider of the tests' own making: SAML responses, good and hostile, signed with xmlsec."""

from __future__ import annotations

import base64
import secrets
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree

from tests.sign_in import Sent

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
Element = Any


@dataclass(frozen=True)
class Asked:
    """A request of the service provider: who asks, where the answer goes, and its id."""

    request_id: str
    acs_url: str
    audience: str
    relay_state: str

    @classmethod
    def of(cls, sent: Sent) -> Asked:
        """The AuthnRequest in the address that a browser was sent to."""
        root = etree.fromstring(zlib.decompress(base64.b64decode(sent.query["SAMLRequest"]), -15))
        issuer = root.findtext(f"{{{SAML}}}Issuer")
        assert root.tag == f"{{{SAMLP}}}AuthnRequest"
        return cls(
            str(root.get("ID")),
            str(root.get("AssertionConsumerServiceURL")),
            str(issuer).strip(),
            sent.query["RelayState"],
        )


@dataclass(frozen=True)
class Words:
    """What a response says. A field that is None is left out."""

    name_id: str = "grace"
    issuer: str = "urn:example:idp"
    destination: str | None = None
    recipient: str | None = None
    audience: str | None = None
    in_response_to: str | None = None
    subject_in_response_to: str | None = None
    not_before: timedelta = timedelta(minutes=-1)
    not_on_or_after: timedelta = timedelta(minutes=5)
    confirmed_until: timedelta | None = timedelta(minutes=5)
    name_id_format: str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
    status: str = "urn:oasis:names:tc:SAML:2.0:status:Success"
    attributes: dict[str, list[str]] = field(default_factory=dict)
    assertion_id: str = field(default_factory=lambda: "_a" + secrets.token_hex(16))

    @classmethod
    def answering(cls, asked: Asked, **changes: Any) -> Words:
        """What a good answer says, but for `changes`."""
        good = cls(
            destination=asked.acs_url,
            recipient=asked.acs_url,
            audience=asked.audience,
            in_response_to=asked.request_id,
            subject_in_response_to=asked.request_id,
            attributes={"email": ["grace@example.org"], "name": ["Grace Hopper"], "groups": ["everybody"]},
        )
        return replace(good, **changes)


def _attribute(name: str, value: str | None) -> str:
    return "" if value is None else f' {name}="{escape(value)}"'


def _time(after: timedelta) -> str:
    return (datetime.now(UTC) + after).strftime("%Y-%m-%dT%H:%M:%SZ")


def response(words: Words) -> Element:
    """The response, not signed."""
    values = "".join(
        f'<saml:Attribute Name="{escape(name)}">'
        + "".join(f"<saml:AttributeValue>{escape(value)}</saml:AttributeValue>" for value in found)
        + "</saml:Attribute>"
        for name, found in words.attributes.items()
    )
    confirmed = None if words.confirmed_until is None else _time(words.confirmed_until)
    audience = "" if words.audience is None else f"<saml:Audience>{escape(words.audience)}</saml:Audience>"
    restriction = f"<saml:AudienceRestriction>{audience}</saml:AudienceRestriction>" if audience else ""
    now = _time(timedelta())
    text = f"""<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="_r{secrets.token_hex(16)}" Version="2.0"
 IssueInstant="{now}"{_attribute("Destination", words.destination)}{_attribute("InResponseTo", words.in_response_to)}>
<saml:Issuer>{escape(words.issuer)}</saml:Issuer>
<samlp:Status><samlp:StatusCode Value="{words.status}"/></samlp:Status>
<saml:Assertion ID="{words.assertion_id}" Version="2.0" IssueInstant="{now}">
<saml:Issuer>{escape(words.issuer)}</saml:Issuer>
<saml:Subject><saml:NameID Format="{words.name_id_format}">{escape(words.name_id)}</saml:NameID>
<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData
{_attribute("Recipient", words.recipient)}{_attribute("InResponseTo", words.subject_in_response_to)}
{_attribute("NotOnOrAfter", confirmed)}/></saml:SubjectConfirmation></saml:Subject>
<saml:Conditions NotBefore="{_time(words.not_before)}" NotOnOrAfter="{_time(words.not_on_or_after)}">{restriction}
</saml:Conditions>
<saml:AuthnStatement AuthnInstant="{now}"><saml:AuthnContext><saml:AuthnContextClassRef>\
urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>
{f"<saml:AttributeStatement>{values}</saml:AttributeStatement>" if values else ""}
</saml:Assertion>
</samlp:Response>"""
    return etree.fromstring(text)


def assertion_of(root: Element) -> Element:
    """The first assertion in a response."""
    return root.find(f"{{{SAML}}}Assertion")


def signature_of(node: Element) -> Element:
    """The signature of a response or an assertion."""
    return node.find(f"{{{DS}}}Signature")


def posted(root: Element) -> str:
    """The form field SAMLResponse."""
    return base64.b64encode(etree.tostring(root)).decode()


class Idp:
    """A key, its certificate, and signatures with them."""

    def __init__(self, entity_id: str = "urn:example:idp") -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, entity_id)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        self.key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)

    def sign(
        self,
        node: Element,
        method: Any = xmlsec.constants.TransformRsaSha256,
        digest: Any = xmlsec.constants.TransformSha256,
        inclusive: str | None = None,
    ) -> Element:
        """Signs a response or an assertion in place, with the signature after its issuer. `inclusive` lists prefixes
        that count though no name bears them."""
        signature = xmlsec.template.create(node, xmlsec.constants.TransformExclC14N, method, ns="ds")
        node.find(f"{{{SAML}}}Issuer").addnext(signature)
        reference = xmlsec.template.add_reference(signature, digest, uri="#" + node.get("ID"))
        xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
        transform = xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
        if inclusive is not None:
            xmlsec.template.transform_add_c14n_inclusive_namespaces(transform, inclusive)
        xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(signature))
        xmlsec.tree.add_ids(node, ["ID"])
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_memory(self.key_pem, xmlsec.constants.KeyDataFormatPem)
        context.key.load_cert_from_memory(self.certificate_pem, xmlsec.constants.KeyDataFormatPem)
        context.sign(signature)
        return node

    def signed(self, words: Words, **options: Any) -> Element:
        """A response whose assertion is signed."""
        root = response(words)
        self.sign(assertion_of(root), **options)
        return root
