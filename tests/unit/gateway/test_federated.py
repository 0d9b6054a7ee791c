"""Pure rules of signing in elsewhere: roles, required claims, pages to go to, requests for tokens, signed bytes."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.gateway.browser import local_path
from services.gateway.federated import Refused, RoleRules, check_required
from services.gateway.oidc import domain as oidc
from services.gateway.saml import domain as saml
from services.gateway.saml import providers, response
from shared.config import ConfigError, read_document
from shared.errors import AuroraError
from tests.saml_idp import Idp, Words, assertion_of, signature_of
from tests.structure.source_tree import ROOT

METADATA_XML = """<?xml version="1.0"?>
<!-- made by a program, with remarks -->
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="urn:idp">
 <md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
  <md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>
   <ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
  <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
   Location="https://idp.example.org/sso"/>
 </md:IDPSSODescriptor>
</md:EntityDescriptor>"""
METADATA = oidc.Metadata(
    issuer="https://idp.example.org",
    authorization_endpoint="https://idp.example.org/authorize?tenant=1",
    token_endpoint="https://idp.example.org/token",
    jwks_uri="https://idp.example.org/keys",
)


def _config(**changes: Any) -> oidc.ProviderConfig:
    own = {"id": "idp", "name": "IdP", "issuer": "https://idp.example.org", "client_id": "aurora:soc"}
    return msgspec.convert({**own, **changes}, oidc.ProviderConfig)


def test_the_strongest_mapped_role_counts() -> None:
    rules = RoleRules("groups", {"a": "viewer", "b": "analyst", "c": "operator"})
    assert rules.role_of(("a", "c", "b", "unknown")) == "analyst"
    assert rules.role_of(("unknown",)) == "viewer"
    with pytest.raises(Refused):
        RoleRules("groups", {"a": "admin"}, None).role_of(("b",))


def test_every_required_claim_needs_one_of_its_values() -> None:
    claims = {"hd": ("example.org",), "groups": ("x", "y")}
    check_required({"hd": ("example.org",), "groups": ("y", "z")}, lambda name: claims.get(name, ()))
    with pytest.raises(Refused):
        check_required({"hd": ("example.org",), "groups": ("z",)}, lambda name: claims.get(name, ()))
    with pytest.raises(Refused):
        check_required({"absent": ("x",)}, lambda name: claims.get(name, ()))


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("groups", ("a", "b")),
        ("https://example.org/roles", ("namespaced",)),
        ("realm_access.roles", ("deep",)),
        ("realm_access.roles.deeper", ()),
        ("one", ("text",)),
        ("mixed", ("text",)),
        ("absent", ()),
    ],
)
def test_claims_are_found_by_name_or_by_path(path: str, values: tuple[str, ...]) -> None:
    claims: dict[str, Any] = {
        "groups": ["a", "b"],
        "https://example.org/roles": ["namespaced"],
        "realm_access": {"roles": ["deep"]},
        "one": "text",
        "mixed": [1, None, "text", {}],
    }
    assert oidc.values_at(claims, path) == values


def test_only_asymmetric_algorithms_can_be_configured() -> None:
    for name in ("HS256", "none", "dir"):
        with pytest.raises(msgspec.ValidationError):
            _config(algorithms=[name])
    with pytest.raises(msgspec.ValidationError):
        _config(algorithms=[])


def test_the_client_proves_itself_as_the_provider_wants_it() -> None:
    def asked(secret: str | None = "a b:c", **changes: Any) -> tuple[dict[str, str], dict[str, str]]:
        metadata = msgspec.structs.replace(METADATA, **changes.pop("metadata", {}))
        return oidc.token_request(_config(**changes), metadata, secret, "code", "verifier", "https://x/callback")

    form, headers = asked()
    assert base64.b64decode(headers["Authorization"].split()[1]) == b"aurora%3Asoc:a+b%3Ac"
    assert "client_secret" not in form
    form, headers = asked(metadata={"token_endpoint_auth_methods_supported": ("client_secret_post",)})
    assert (form["client_id"], form["client_secret"], headers) == ("aurora:soc", "a b:c", {})
    form, headers = asked(secret=None)
    assert (form["client_id"], "client_secret" in form, headers) == ("aurora:soc", False, {})
    form, _ = asked(client_authentication="client_secret_post")
    assert form["client_secret"] == "a b:c"


def test_an_address_that_has_parameters_keeps_them() -> None:
    url = oidc.authorization_url(_config(), METADATA, oidc.Flow("idp", "n", "v", None), "state", "https://x/callback")
    assert url.startswith("https://idp.example.org/authorize?tenant=1&response_type=code&")


def test_an_answer_must_name_its_issuer_where_the_provider_says_that_it_does() -> None:
    naming = msgspec.structs.replace(METADATA, authorization_response_iss_parameter_supported=True)
    oidc.check_answer_issuer(METADATA, None)
    oidc.check_answer_issuer(naming, "https://idp.example.org")
    for metadata, issuer in ((naming, None), (METADATA, "https://other.example.org")):
        with pytest.raises(Refused):
            oidc.check_answer_issuer(metadata, issuer)


@pytest.mark.parametrize("path", ["/", "/console", "/a/b?c=d&e=%2F#f", None])
def test_a_page_of_this_server_may_be_gone_to(path: str | None) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize("path", ["", "x", "//x", "/\\x", "https://x/", "/a b", "/\r\n", "/é", "/a\\b", "///x"])
def test_a_page_of_another_server_may_not(path: str) -> None:
    with pytest.raises(AuroraError):
        local_path(path)


def test_what_is_read_of_an_assertion_is_what_was_digested() -> None:
    """Behind the validation of signatures stands this: the bytes are cut out, and their digest is compared again."""
    root = Idp().signed(Words(audience="aurora", recipient="https://x/acs"))
    assertion = assertion_of(root)
    signed = response._signed_bytes(assertion, signature_of(assertion))
    assert b"grace" in signed
    assert b"Signature" not in signed
    next(assertion.iter("{urn:oasis:names:tc:SAML:2.0:assertion}NameID")).text = "admin"
    with pytest.raises(Refused, match="other bytes"):
        response._signed_bytes(assertion, signature_of(assertion))


def test_the_documented_configurations_are_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "identity.md").read_text()
    examples = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "providers:" in block]
    by_oidc, by_saml = tmp_path / "oidc.yaml", tmp_path / "saml.yaml"
    for path, example in zip((by_oidc, by_saml), examples, strict=True):
        path.write_text(example)
    documented = ["keycloak", "entra", "okta", "google"]
    assert [each.id for each in read_document(by_oidc, oidc.ProvidersFile).providers] == documented
    assert [each.id for each in read_document(by_saml, saml.ProvidersFile).providers] == documented


def test_identity_providers_are_read_from_fields_or_from_their_metadata(tmp_path: Path) -> None:
    idp = Idp()
    (tmp_path / "idp.pem").write_bytes(idp.certificate_pem)
    inner = "".join(idp.certificate_pem.decode().splitlines()[1:-1])
    (tmp_path / "idp.xml").write_text(METADATA_XML.format(certificate=inner))
    fields = {"entity_id": "urn:idp", "sign_in_url": "https://idp.example.org/sso", "certificate_files": ["idp.pem"]}
    found = _load(tmp_path, {"id": "a", **fields}, {"id": "b", "metadata_file": "idp.xml"})
    assert [(each.entity_id, each.sign_in_url) for each in found.values()] == [
        ("urn:idp", "https://idp.example.org/sso")
    ] * 2


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        ({}, "needs metadata_file"),
        ({"entity_id": "urn:idp", "sign_in_url": "https://x.example.org"}, "needs metadata_file"),
        ({"metadata_file": "none.xml"}, "can't be read"),
        ({"metadata_file": "bad.pem"}, "provider a"),
        ({"entity_id": "i", "sign_in_url": "https://x.example.org", "certificate_files": ["bad.pem"]}, "provider a"),
        ({"entity_id": "i", "sign_in_url": "javascript:x", "certificate_files": ["idp.pem"]}, "provider a"),
    ],
)
def test_an_identity_provider_that_is_wrong_stops_the_start(
    tmp_path: Path, provider: dict[str, Any], told: str
) -> None:
    (tmp_path / "idp.pem").write_bytes(Idp().certificate_pem)
    (tmp_path / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n")
    with pytest.raises(ConfigError, match=told):
        _load(tmp_path, {"id": "a", **provider})


def _load(folder: Path, *each: dict[str, Any]) -> dict[str, providers.Provider]:
    path = folder / "saml.json"
    path.write_bytes(msgspec.json.encode({"providers": [{"name": "IdP", **provider} for provider in each]}))
    return providers.load(path, "https://soc.example.org")


def test_a_file_of_providers_that_is_wrong_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "oidc.yaml"
    path.write_text("providers:\n  - id: idp\n    name: IdP\n    issuer: https://x\n    client_id: 7\n")
    with pytest.raises(ConfigError, match=r"oidc\.yaml: .*client_id"):
        read_document(path, oidc.ProvidersFile)
    path.write_text("providers: [")
    with pytest.raises(ConfigError, match="neither YAML nor JSON"):
        read_document(path, oidc.ProvidersFile)
    with pytest.raises(ConfigError, match="can't be read"):
        read_document(tmp_path / "none", oidc.ProvidersFile)
