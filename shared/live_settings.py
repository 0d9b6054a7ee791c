"""The settings that change while a process runs: the environment's, with what administrators set on top.

The gateway owns them. Every other process hears of a change through NATS, within a second, and remembers in a file what
it heard last: started while NATS is away, it goes on with that. Knows no service, and not where changes come from.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from shared import config, log
from shared.bus import Bus
from shared.contracts.settings import HeldOverrides, RuntimeOverrides, RuntimeSettings
from shared.contracts.wire import decode, encode
from shared.invalid import problem_of

BUCKET, KEY = "settings", "runtime"
NOTHING = HeldOverrides(0, RuntimeOverrides())
_log = log.get_logger("settings")


@dataclass(frozen=True)
class RuntimeDefaults:
    """What holds where administrators set nothing."""

    #: dry_run, monitor or active.
    mode: str = "monitor"
    #: debug, info, warning or error.
    log_level: str = "info"
    requests_per_minute: int = 1200
    #: On the paths of the RCA API.
    rca_requests_per_minute: int = 100
    #: Chat, on both APIs.
    chat_requests_per_minute: int = 20
    #: Failed ones, for one account from one address.
    login_attempts_per_minute: int = 10
    #: Whether people may make themselves accounts. Not set: unless there is a provider of identities.
    registration: bool | None = None
    #: How long events of sources without a retention of their own are kept: as the log table's column `keep_until` has
    #: it for rows from before there was a choice; a test holds the two together.
    log_retention_days: int = 365


@dataclass(frozen=True)
class Memory:
    """The file that keeps what was heard last; not set: nothing is remembered."""

    runtime_settings_file: Path | None = None


class LiveSettings:
    """`current` is what holds now in this process; `held` is what it follows from, beside the environment."""

    def __init__(self, service: str) -> None:
        values = asdict(config.load(RuntimeDefaults, service=service))
        try:
            self._defaults = msgspec.convert(values, RuntimeSettings)
        except msgspec.ValidationError as error:
            name = problem_of(error, "")["path"].lstrip(".")
            raise config.ConfigError(
                f"{config.PREFIX}{name.upper()} is not a valid {name.replace('_', ' ')}"
            ) from error
        self._file = config.load(Memory, service=service).runtime_settings_file
        self._remembered = b""
        self.current = self._defaults
        self.held = NOTHING
        self._apply(self._recall())

    def apply(self, held: HeldOverrides) -> None:
        """From now on these hold; they are remembered for the next start."""
        if held != self.held:
            _log.info("runtime settings changed", revision=held.revision, **msgspec.to_builtins(held.overrides))
        self._apply(held)
        self._remember()

    def _apply(self, held: HeldOverrides) -> None:
        self.held = held
        values = msgspec.structs.asdict(held.overrides)
        given = {name: value for name, value in values.items() if value is not None}
        self.current = msgspec.structs.replace(self._defaults, **given)
        log.set_level(self.current.log_level)

    async def follow(self, bus: Bus) -> None:
        """Runs until cancelled: takes over what NATS tells, now and from now on."""
        async for value in bus.watch(BUCKET, KEY):
            try:
                held = decode(value, HeldOverrides)
            except msgspec.DecodeError:
                _log.warning("runtime settings can't be read and are left as they are")
                continue
            self.apply(held)

    def _recall(self) -> HeldOverrides:
        try:
            self._remembered = b"" if self._file is None else self._file.read_bytes()
            return decode(self._remembered, HeldOverrides) if self._remembered else NOTHING
        except FileNotFoundError:
            return NOTHING
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("what was known of runtime settings can't be read", reason=type(error).__name__)
            return NOTHING

    def _remember(self) -> None:
        text = encode(self.held)
        if self._file is None or text == self._remembered:
            return
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            scratch = self._file.with_name(f".{self._file.name}.new")
            scratch.write_bytes(text)
            scratch.replace(self._file)
        except OSError as error:
            # It is for a start without NATS only; what holds now holds without it.
            _log.warning("runtime settings can't be remembered", reason=type(error).__name__)
            return
        self._remembered = text
