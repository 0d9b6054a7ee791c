"""Gives the stack's signers new keys, also while it runs: every process reads its key files anew.

First everybody learns the new public keys, then the signers get the private ones, then the ones before are given an
end. Whoever is killed in between leaves a stack that works. What a key may say is shared/identity.py's business.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deploy.local import keys
from deploy.local.errors import StackError
from deploy.local.layout import DataFolder, write_private
from shared.keyring import living, new_private_key, service_of

#: An access token lives for a quarter of an hour; every other token that the keys sign, for less or written anew here.
OVERLAP_SECONDS = 20 * 60
Jwk = dict[str, Any]


def rotate(folder: DataFolder, overlap_seconds: int = OVERLAP_SECONDS) -> list[str]:
    """New keys for every signer and for access tokens; whose. The ones before hold for `overlap_seconds` more.

    Raises StackError for a folder that holds no stack.
    """
    with keys.alone(folder):
        return _rotate(folder, overlap_seconds)


def _rotate(folder: DataFolder, overlap_seconds: int) -> list[str]:
    now = time.time()
    kept = {file: living(keys.read_jwks(file), now) for file in (keys.identity_jwks(folder), keys.token_jwks(folder))}
    signers = sorted({service_of(jwk["kid"]) for jwk in kept[keys.identity_jwks(folder)]})
    if not signers:
        raise StackError(f"{folder.root} holds no keys of a stack")
    fresh = {name: new_private_key() for name in [*signers, keys.TOKEN_KEY]}
    own = {
        keys.identity_jwks(folder): [keys.signer_jwk(name, fresh[name]) for name in signers],
        keys.token_jwks(folder): [keys.token_jwk(fresh[keys.TOKEN_KEY])],
    }
    _write(own, kept)
    for name, pem in fresh.items():
        write_private(keys.key_file(folder, name), pem)
    _write(own, {file: _ending(jwks, now + overlap_seconds, now) for file, jwks in kept.items()})
    keys.write_agent_tokens(folder, keys.agents_with_tokens(folder))
    return list(fresh)


def _ending(jwks: Iterable[Jwk], end: float, now: float) -> list[Jwk]:
    return [] if end <= now else [{**jwk, "exp": min(int(end), jwk.get("exp", int(end)))} for jwk in jwks]


def _write(own: Mapping[Path, list[Jwk]], kept: Mapping[Path, list[Jwk]]) -> None:
    for file, jwks in own.items():
        keys.write_jwks(file, [*jwks, *kept[file]])
