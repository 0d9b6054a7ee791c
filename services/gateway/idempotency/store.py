"""The SQL of the key that seals kept answers: made once for an installation, the same for every gateway process."""

from __future__ import annotations

import os

from shared.postgres import Database
from shared.sealing import SealingKeys

_KEY_BYTES = 32


async def sealing_keys(database: Database) -> SealingKeys:
    """The installation's key; whoever asks first makes it."""
    await database.execute(
        "INSERT INTO idempotency_seal (name, key) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        os.urandom(4).hex(),
        os.urandom(_KEY_BYTES),
    )
    (row,) = await database.fetch("SELECT name, key FROM idempotency_seal")
    return SealingKeys({row["name"]: bytes(row["key"])})
