"""The only reader of the environment: `load(SettingsClass)` fills a frozen dataclass from `AURORA_*` variables.

Field `http_port` of service `siem` is read from AURORA_SIEM_HTTP_PORT, else AURORA_HTTP_PORT, so that one process can
run several services. Supported types: str, int, float, bool, Path, tuple[str, ...] (comma-separated), dict[str, str]
(JSON object), and each of them `| None`. A field whose name ends in `_file` names a file; `read_secret` reads it.
Values are never logged.
"""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

S = TypeVar("S")
PREFIX = "AURORA_"
#: Named without the prefix by the RCA page; with it they come first.
_PLAIN = frozenset({"FRONTEND_URL"})

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


@dataclasses.dataclass(frozen=True)
class LogSettings:
    """What a process needs before it knows anything else."""

    log_level: str = "info"


class ConfigError(ValueError):
    """A setting is missing or not of its type. The message names the variable, never its value."""


def _bool(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError("expects on or off")


def _string_map(text: str) -> dict[str, str]:
    return msgspec.json.decode(text, type=dict[str, str])


_PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: _bool,
    Path: Path,
    tuple[str, ...]: lambda text: tuple(part.strip() for part in text.split(",") if part.strip()),
    dict[str, str]: _string_map,
}


def _parser(annotation: Any) -> Callable[[str], Any]:
    if isinstance(annotation, types.UnionType):
        annotation = next(arg for arg in typing.get_args(annotation) if arg is not types.NoneType)
    if annotation not in _PARSERS:
        raise TypeError(f"settings fields can't be {annotation}")
    return _PARSERS[annotation]


def _variable(service: str, field_name: str, source: Mapping[str, str]) -> str:
    own, plain = f"{PREFIX}{service}_{field_name}".upper(), field_name.upper()
    if service and own in source:
        return own
    return plain if plain in _PLAIN and PREFIX + plain not in source else PREFIX + plain


def load(settings: type[S], environ: Mapping[str, str] | None = None, *, service: str = "") -> S:
    """An instance of the settings dataclass, from `environ` (the process's own when None).

    Raises ConfigError naming the variable that is missing or malformed.
    """
    source = os.environ if environ is None else environ
    hints = typing.get_type_hints(settings)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        variable = _variable(service, field.name, source)
        if variable in source:
            try:
                values[field.name] = _parser(hints[field.name])(source[variable])
            except (ValueError, msgspec.DecodeError) as error:
                raise ConfigError(f"{variable} is not a valid {field.name.replace('_', ' ')}") from error
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{variable} is not set")
    return settings(**values)


def read_secret_text(path: Path) -> str:
    """A secret file, stripped. Raises ConfigError when it can't be read or is empty."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"the secret file {path.name} can't be read") from error
    if not text:
        raise ConfigError(f"the secret file {path.name} is empty")
    return text


def read_secret(path: Path) -> str:
    """A secret of one line. Raises ConfigError as read_secret_text does."""
    return read_secret_text(path).splitlines()[0]


def read_document(path: Path, kind: type[S]) -> S:
    """A YAML or JSON file as `kind`. Raises ConfigError that names the file and the place in it, never a value."""
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise ConfigError(f"the file {path.name} can't be read") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"the file {path.name}: {error}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"the file {path.name} is neither YAML nor JSON") from error


def child_environment(overrides: Mapping[str, str], without: Collection[str] = ()) -> dict[str, str]:
    """What a child process is started with: our own environment, less `without`, and `overrides` on top."""
    inherited = {name: value for name, value in os.environ.items() if name not in without}
    return {**inherited, **overrides}


def default_data_dir() -> Path:
    """$XDG_DATA_HOME/aurora, else ~/.local/share/aurora; for root /var/lib/aurora, which other accounts can enter."""
    given = os.environ.get("XDG_DATA_HOME", "")
    if given.startswith("/"):  # the XDG specification has relative paths ignored
        return Path(given) / "aurora"
    return Path("/var/lib/aurora") if os.geteuid() == 0 else Path.home() / ".local" / "share" / "aurora"


def default_config_dir() -> Path:
    """$XDG_CONFIG_HOME/aurora, else ~/.config/aurora: what a user's commands keep between runs."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".config") / "aurora"
