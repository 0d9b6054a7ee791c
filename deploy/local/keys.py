"""The stack's keys: one signing key a service and one for the operator, their public halves, the agents' tokens, and
the key that seals the credentials of users' cloud accounts.

Made once, kept in secrets/, replaced by rotation.py. What a key may say is shared/identity.py's business.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from deploy.local.layout import DataFolder, write_private
from shared.identity import Signer, service_principal
from shared.keyring import living, new_private_key, public_jwk, service_jwk, thumbprint
from shared.sealing import new_key_line

OPERATOR = "operator"
TOKEN_KEY = "token"  # noqa: S105 - the name of a key file
_TOKEN_SECONDS = 12 * 3600
#: How often the agents' tokens are written anew, in seconds: a reader always finds hours of life in one.
TOKEN_RENEWAL_SECONDS = 3600


def ensure_keys(folder: DataFolder, services: Iterable[str]) -> None:
    """Makes the keys that aren't there yet, and the files with the public halves of the signers' keys and of those
    that were replaced and still hold."""
    signers = [*services, OPERATOR]
    with alone(folder):
        for name in [*signers, TOKEN_KEY]:
            if not key_file(folder, name).exists():
                write_private(key_file(folder, name), new_private_key())
        if not (sealing := cloud_key_file(folder)).exists():
            write_private(sealing, new_key_line())
        pems = {name: key_file(folder, name).read_text(encoding="utf-8") for name in [*signers, TOKEN_KEY]}
        _publish(identity_jwks(folder), [signer_jwk(name, pems[name]) for name in signers])
        _publish(token_jwks(folder), [token_jwk(pems[TOKEN_KEY])])


def _publish(file: Path, own: list[dict[str, Any]]) -> None:
    ours = {jwk["kid"] for jwk in own}
    retiring = [jwk for jwk in living(read_jwks(file), time.time()) if "exp" in jwk and jwk["kid"] not in ours]
    write_jwks(file, [*own, *retiring])


def signer_jwk(name: str, pem: str) -> dict[str, Any]:
    """The public half of a signer's key, as identity.jwks has it."""
    return {**service_jwk(name, pem)}


def token_jwk(pem: str) -> dict[str, Any]:
    """The public half of the key of access tokens, as token.jwks has it."""
    return {**public_jwk(thumbprint(pem), pem)}


def read_jwks(file: Path) -> dict[str, Any]:
    """The JWK set in a file; an empty one where there is none."""
    if not file.exists():
        return {"keys": []}
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])


def write_jwks(file: Path, jwks: list[dict[str, Any]]) -> None:
    """Writes a JWK set, in one step."""
    write_private(file, msgspec.json.encode({"keys": jwks}).decode())


@contextmanager
def alone(folder: DataFolder) -> Iterator[None]:
    """Holds the keys against another process that would write them too."""
    folder.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder.secrets / "keys.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_agent_tokens(folder: DataFolder, agents: Iterable[str]) -> None:
    """Writes a fresh token for each agent, signed by the operator's key, good for 12 hours."""
    signer = operator(folder)
    for agent in agents:
        token = signer.sign(service_principal(OPERATOR), f"agent:{agent}", _TOKEN_SECONDS)
        write_private(agent_token_file(folder, agent), token + "\n")


def operator(folder: DataFolder) -> Signer:
    """Signs in the operator's name, as whoever may read the folder's secrets. Raises OSError where there are none."""
    return Signer(OPERATOR, key_file(folder, OPERATOR).read_text(encoding="utf-8"))


def agent_token_file(folder: DataFolder, agent: str) -> Path:
    """Where the operator's token for one agent is kept."""
    return folder.secrets / f"agent-{agent}.token"


def agents_with_tokens(folder: DataFolder) -> list[str]:
    """The agents that there are tokens for."""
    return sorted(file.stem.removeprefix("agent-") for file in folder.secrets.glob("agent-*.token"))


def identity_jwks(folder: DataFolder) -> Path:
    """Where the public keys of the signers are kept."""
    return folder.secrets / "identity.jwks"


def token_jwks(folder: DataFolder) -> Path:
    """Where the public keys of access tokens are kept."""
    return folder.secrets / "token.jwks"


def cloud_key_file(folder: DataFolder) -> Path:
    """Where the keys are kept that seal the credentials of users' cloud accounts."""
    return key_file(folder, "cloud")


def key_file(folder: DataFolder, name: str) -> Path:
    """Where one private key is kept."""
    return folder.secrets / f"{name}.key"
