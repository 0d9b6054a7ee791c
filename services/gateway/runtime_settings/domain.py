"""What a change of the runtime settings comes to. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from shared.contracts.settings import (
    HeldOverrides,
    RuntimeChange,
    RuntimeOverrides,
    RuntimeSettings,
    RuntimeState,
    RuntimeUpdate,
    RuntimeValue,
)
from shared.contracts.wire import decode
from shared.errors import AuroraError, field_error


@dataclass(frozen=True, slots=True)
class Held:
    """What holds from a change on. Revision 0: nothing was ever changed."""

    revision: int
    overrides: RuntimeOverrides
    change: RuntimeChange | None = None

    def told(self) -> HeldOverrides:
        """As other processes hear of it."""
        return HeldOverrides(self.revision, self.overrides, None if self.change is None else self.change.changed_at)


NOTHING = Held(0, RuntimeOverrides())


def changed(before: Held, asked: RuntimeUpdate, who: tuple[str, str], now: datetime) -> Held:
    """What holds after the change; `before` itself when it asks for what holds. `who` is id and name.

    Raises AURORA-4220 for a change that names no setting.
    """
    named = _named(asked)
    if not named:
        raise field_error("body", "names no setting")
    were = msgspec.structs.asdict(before.overrides)
    differing = {name: RuntimeValue(were[name], value) for name, value in named.items() if were[name] != value}
    if not differing:
        return before
    revision = before.revision + 1
    overrides = msgspec.structs.replace(before.overrides, **{name: value.after for name, value in differing.items()})
    identifier, called = who
    change = RuntimeChange(
        revision=revision,
        changed=differing,
        changed_at=now,
        changed_by=identifier,
        changed_by_name=called,
        reason=asked.reason,
    )
    return Held(revision, overrides, change)


def is_told(kept: bytes, held: Held) -> bool:
    """Whether what NATS keeps is of this change. Its overrides aren't compared: while versions are mixed, processes may
    write the same ones differently, and would correct one another for ever."""
    try:
        told = decode(kept, HeldOverrides) if kept else HeldOverrides(0, RuntimeOverrides())
    except msgspec.DecodeError:
        return False
    return (told.revision, told.changed_at) == (held.revision, held.told().changed_at)


def _named(asked: RuntimeUpdate) -> dict[str, Any]:
    values = msgspec.structs.asdict(asked)
    return {name: value for name, value in values.items() if name != "reason" and value is not UNSET}


def state(held: Held, settings: RuntimeSettings) -> RuntimeState:
    """What holds, as it is shown."""
    overridden = [name for name, value in msgspec.structs.asdict(held.overrides).items() if value is not None]
    shown = RuntimeState(revision=held.revision, settings=settings, overridden=overridden)
    if held.change is not None:
        shown.changed_at = held.change.changed_at
        shown.changed_by = held.change.changed_by
        shown.changed_by_name = held.change.changed_by_name
        shown.reason = held.change.reason
    return shown


def expected_revision(if_match: str | None) -> int | None:
    """The revision that `If-Match` names; None when any will do. Raises AURORA-4220 for what is no tag of ours."""
    if if_match is None or if_match.strip() == "*":
        return None
    digits = if_match.strip().removeprefix('"').removesuffix('"')
    if not (if_match.strip() == f'"{digits}"' and digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise _no_tag()
    return int(digits)


def _no_tag() -> AuroraError:
    return field_error("header.If-Match", 'must be the ETag of the settings, as in "17", or *')
