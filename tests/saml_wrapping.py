"""Signature wrapping, XSW1 to XSW8: "On Breaking SAML: Be Whoever You Want to Be" (USENIX Security 2012), in the
numbering that SAML Raider made common.

Each moves what was signed somewhere else and puts an evil copy, that of `name`, where it stood.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

from lxml import etree

from tests.saml_idp import DS, SAML, SAMLP, Element, assertion_of, signature_of


def _without_signature(node: Element) -> Element:
    copied = copy.deepcopy(node)
    signature = signature_of(copied)
    if signature is not None:
        copied.remove(signature)
    return copied


def _evil(assertion: Element, name: str, *, signed: bool = False) -> Element:
    copied = copy.deepcopy(assertion) if signed else _without_signature(assertion)
    copied.set("ID", "_evil")
    copied.find(f".//{{{SAML}}}NameID").text = name
    return copied


def _evil_response(root: Element, name: str) -> Element:
    copied = _without_signature(root)
    copied.set("ID", "_evil_response")
    inside = assertion_of(copied)
    inside.getparent().replace(inside, _evil(inside, name))
    return copied


def _xsw1(root: Element, name: str) -> Element:
    """An evil response around the signature of the response, in which the signed response now lies."""
    evil, signature = _evil_response(root, name), copy.deepcopy(signature_of(root))
    signature.append(_without_signature(root))
    evil.insert(1, signature)
    return evil


def _xsw2(root: Element, name: str) -> Element:
    """The signed response before the signature, which is detached now."""
    evil = _evil_response(root, name)
    evil.insert(1, _without_signature(root))
    evil.insert(2, copy.deepcopy(signature_of(root)))
    return evil


def _xsw3(root: Element, name: str) -> Element:
    """An evil assertion before the signed one."""
    assertion = assertion_of(root)
    assertion.addprevious(_evil(assertion, name))
    return root


def _xsw4(root: Element, name: str) -> Element:
    """The signed assertion inside an evil one."""
    assertion = assertion_of(root)
    evil = _evil(assertion, name)
    root.replace(assertion, evil)
    evil.append(assertion)
    return root


def _xsw5(root: Element, name: str) -> Element:
    """The signature in an evil assertion, what it signs at the end."""
    assertion = assertion_of(root)
    root.replace(assertion, _evil(assertion, name, signed=True))
    root.append(_without_signature(assertion))
    return root


def _xsw6(root: Element, name: str) -> Element:
    """The signature in an evil assertion, and inside it what it signs."""
    assertion = assertion_of(root)
    evil = _evil(assertion, name, signed=True)
    root.replace(assertion, evil)
    signature_of(evil).append(_without_signature(assertion))
    return root


def _xsw7(root: Element, name: str) -> Element:
    """An evil assertion among the extensions, where any content is allowed."""
    assertion = assertion_of(root)
    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    extensions.append(_evil(assertion, name))
    root.find(f"{{{SAML}}}Issuer").addnext(extensions)
    return root


def _xsw8(root: Element, name: str) -> Element:
    """The signature in an evil assertion, what it signs in an object of the signature, where any content is allowed."""
    assertion = assertion_of(root)
    evil = _evil(assertion, name, signed=True)
    root.replace(assertion, evil)
    etree.SubElement(signature_of(evil), f"{{{DS}}}Object").append(_without_signature(assertion))
    return root


#: Those that wrap a signed assertion; the first two wrap a signed response.
OF_ASSERTIONS: dict[str, Callable[[Element, str], Element]] = {
    "XSW3": _xsw3,
    "XSW4": _xsw4,
    "XSW5": _xsw5,
    "XSW6": _xsw6,
    "XSW7": _xsw7,
    "XSW8": _xsw8,
}
WRAPPINGS: dict[str, Callable[[Element, str], Element]] = {"XSW1": _xsw1, "XSW2": _xsw2, **OF_ASSERTIONS}
