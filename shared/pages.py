"""Opaque cursors of lists that are ordered by one growing number, newest first."""

from __future__ import annotations

import base64
import binascii

from shared.errors import AuroraError, field_error


def encode_position(position: int) -> str:
    """The cursor after the item at `position`."""
    return base64.urlsafe_b64encode(f"p{position}".encode()).decode().rstrip("=")


def decode_position(cursor: str | None) -> int | None:
    """The position a cursor names; None for the first page. Raises AURORA-4220 for a cursor that isn't ours."""
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        position = int(text.removeprefix("p")) if text.startswith("p") else -1
    except (binascii.Error, ValueError) as error:
        raise _invalid() from error
    if not 0 <= position < 2**63:
        raise _invalid()
    return position


def _invalid() -> AuroraError:
    return field_error("query.cursor", "not a cursor that this list gave")
