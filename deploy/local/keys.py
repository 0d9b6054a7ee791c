"""The stack's keys: one signing key a service and one for the operator, their public halves, the agents' tokens, and
the key that seals the credentials of users' cloud accounts.

Made once and kept in secrets/. What a key may say is shared/identity.py's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from deploy.local.layout import DataFolder, write_private
from shared.identity import Signer, service_principal
from shared.keyring import new_private_key, service_jwk
from shared.sealing import new_key_line

OPERATOR = "operator"
TOKEN_KEY = "token"  # noqa: S105 - the name of a key file
_TOKEN_SECONDS = 12 * 3600
#: How often the agents' tokens are written anew, in seconds: a reader always finds hours of life in one.
TOKEN_RENEWAL_SECONDS = 3600


def ensure_keys(folder: DataFolder, services: Iterable[str]) -> None:
    """Makes the keys that aren't there yet, and identity.jwks with the public half of each signer."""
    signers = [*services, OPERATOR]
    for name in [*signers, TOKEN_KEY]:
        file = _key_file(folder, name)
        if not file.exists():
            write_private(file, new_private_key())
    if not (sealing := cloud_key_file(folder)).exists():
        write_private(sealing, new_key_line())
    jwks = {"keys": [service_jwk(name, _key_file(folder, name).read_text(encoding="utf-8")) for name in signers]}
    write_private(folder.secrets / "identity.jwks", msgspec.json.encode(jwks).decode())


def write_agent_tokens(folder: DataFolder, agents: Iterable[str]) -> None:
    """Writes a fresh token for each agent, signed by the operator's key, good for 12 hours."""
    signer = Signer(OPERATOR, _key_file(folder, OPERATOR).read_text(encoding="utf-8"))
    for agent in agents:
        token = signer.sign(service_principal(OPERATOR), f"agent:{agent}", _TOKEN_SECONDS)
        write_private(agent_token_file(folder, agent), token + "\n")


def agent_token_file(folder: DataFolder, agent: str) -> Path:
    """Where the operator's token for one agent is kept."""
    return folder.secrets / f"agent-{agent}.token"


def cloud_key_file(folder: DataFolder) -> Path:
    """Where the keys are kept that seal the credentials of users' cloud accounts."""
    return _key_file(folder, "cloud")


def _key_file(folder: DataFolder, name: str) -> Path:
    return folder.secrets / f"{name}.key"
