"""The configured identity providers, as python3-saml wants them described."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.x509 import load_pem_x509_certificate
from lxml.etree import LxmlError
from onelogin.saml2.errors import OneLogin_Saml2_Error
from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from onelogin.saml2.utils import OneLogin_Saml2_Utils

from services.gateway.saml.domain import ProviderConfig, ProvidersFile
from shared import config
from shared.config import ConfigError
from shared.contracts.federation import SAML_ACS, SAML_METADATA

_POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
#: python3-saml's own strictness, as far as it goes; response.py and domain.py go on from there.
_SECURITY = {
    "wantAssertionsSigned": True,
    "wantNameId": False,
    "wantAttributeStatement": False,
    "requestedAuthnContext": False,
    "rejectDeprecatedAlgorithm": True,
    "rejectUnsolicitedResponsesWithInResponseTo": True,
    # Names like https://soc inside a company.
    "allowSingleLabelDomains": True,
}


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider. `entity_id` is its name, `sign_in_url` where the browser takes the request."""

    config: ProviderConfig
    settings: OneLogin_Saml2_Settings
    entity_id: str
    sign_in_url: str


def load(path: Path | None, public_url: str) -> dict[str, Provider]:
    """The providers of the file, by id; none without one. Raises ConfigError."""
    if path is None:
        return {}
    found: dict[str, Provider] = {}
    for each in config.read_document(path, ProvidersFile).providers:
        if each.id in found:
            raise ConfigError(f"the file {path.name}: provider {each.id} stands twice")
        try:
            found[each.id] = _provider(each, path.parent, public_url)
        except (OneLogin_Saml2_Error, LxmlError, ValueError) as error:
            raise ConfigError(f"the file {path.name}: provider {each.id}: {error}") from error
    return found


def _provider(each: ProviderConfig, folder: Path, public_url: str) -> Provider:
    described = _from_metadata(each, folder) if each.metadata_file else _from_fields(each, folder)
    name, url = described["entityId"], described["singleSignOnService"]["url"]
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("its sign-in address is not one of the web")
    service_provider = {
        "entityId": public_url + SAML_METADATA.path,
        "assertionConsumerService": {"url": public_url + SAML_ACS.path, "binding": _POST},
        "NameIDFormat": each.name_id_format,
    }
    settings = OneLogin_Saml2_Settings(
        {"strict": True, "debug": False, "sp": service_provider, "idp": described, "security": _SECURITY}
    )
    return Provider(each, settings, name, url)


def _from_fields(each: ProviderConfig, folder: Path) -> dict[str, Any]:
    if not (each.entity_id and each.sign_in_url and each.certificate_files):
        raise ValueError("needs metadata_file, or entity_id, sign_in_url and certificate_files")
    certificates = [config.read_secret_text(folder / name) for name in each.certificate_files]
    return _described(each.entity_id, each.sign_in_url, certificates)


def _from_metadata(each: ProviderConfig, folder: Path) -> dict[str, Any]:
    text = config.read_secret_text(folder / str(each.metadata_file)).encode()
    parsed = OneLogin_Saml2_IdPMetadataParser.parse(text, entity_id=each.entity_id).get("idp", {})
    certificates = parsed.get("x509certMulti", {}).get("signing") or [parsed.get("x509cert", "")]
    if "singleSignOnService" not in parsed or not all(certificates):
        raise ValueError("its metadata has no sign-in address by redirect, or no certificate")
    return _described(parsed["entityId"], parsed["singleSignOnService"]["url"], certificates)


def _described(entity_id: str, url: str, certificates: list[str]) -> dict[str, Any]:
    for certificate in certificates:
        # Raises ValueError now rather than refusing everybody later.
        load_pem_x509_certificate(OneLogin_Saml2_Utils.format_cert(certificate).encode())
    return {
        "entityId": entity_id,
        "singleSignOnService": {"url": url},
        "x509certMulti": {"signing": certificates},
    }
