"""The rules of hunts: how values get into a query, when a schedule is due, and how two runs differ.

Pure. Knows the shape of a quoted value, not the rest of the search language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

from cronsim import CronSim, CronSimError

from shared.contracts.hunts import HuntParameter
from shared.contracts.wire import format_time
from shared.errors import AuroraError, field_error

#: As long as a query of the search may be.
MAX_QUERY = 8192
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_BEFORE, _AFTER = set(":(<>= \t\n"), set(") \t\n")
_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?")
#: What a parameter without a default is held against when a hunt is saved.
_SAMPLES = {"string": "x", "number": "1", "ip": "192.0.2.1", "datetime": "2026-01-01T00:00:00Z"}


def check_parameters(query: str | None, parameters: Sequence[HuntParameter]) -> None:
    """Raises AURORA-4220 when placeholders and declarations don't fit, or a default isn't of its type."""
    names = [parameter.name for parameter in parameters]
    if len(set(names)) < len(names):
        raise field_error("body.parameters", "two parameters have one name")
    if query is None:
        if names:
            raise field_error("body.parameters", "a Sigma rule takes no parameters")
        return
    used = {name for name, _ in _placeholders(query)}
    if unknown := sorted(used - set(names)):
        raise field_error("body.query", f"{{{{{unknown[0]}}}}} isn't declared in parameters")
    if unused := sorted(set(names) - used):
        raise field_error("body.parameters", f"the query has no {{{{{unused[0]}}}}}")
    for number, parameter in enumerate(parameters):
        if parameter.default is not None:
            _literal(parameter, parameter.default, f"body.parameters[{number}].default")


def _placeholders(query: str) -> list[tuple[str, tuple[int, int]]]:
    """Names and places. A placeholder is a whole value: inside quotes or beside text it would be something else."""
    found = []
    for match in _PLACEHOLDER.finditer(query):
        start, end = match.span()
        beside = (start > 0 and query[start - 1] not in _BEFORE) or (end < len(query) and query[end] not in _AFTER)
        if beside or _inside_quotes(query[:start]):
            raise field_error("body.query", f"{match.group()} must be a whole value, without quotes: the run adds them")
        found.append((match.group(1), (start, end)))
    return found


def _inside_quotes(before: str) -> bool:
    quoted = False
    place = 0
    while place < len(before):
        if quoted and before[place] == "\\":
            place += 1
        elif before[place] == '"':
            quoted = not quoted
        place += 1
    return quoted


def sample_values(parameters: Sequence[HuntParameter]) -> dict[str, str]:
    """A value for each parameter that has no default."""
    return {item.name: _SAMPLES[item.type] for item in parameters if item.default is None}


def with_defaults(parameters: Sequence[HuntParameter], given: Mapping[str, str]) -> dict[str, str]:
    """Every parameter's value. Raises AURORA-4220 for one that is unknown or missing."""
    known = {parameter.name for parameter in parameters}
    for name in given:
        if name not in known:
            raise field_error(f"body.parameters.{name}", "the hunt has no such parameter")
    values = {}
    for parameter in parameters:
        value = given.get(parameter.name, parameter.default)
        if value is None:
            raise field_error(f"body.parameters.{parameter.name}", "needs a value")
        values[parameter.name] = value
    return values


def render(query: str, parameters: Sequence[HuntParameter], values: Mapping[str, str]) -> str:
    """The query with each value in the form of one quoted value, so that none can change what is asked.

    Raises AURORA-4220 for a value that isn't of its type, and when the query gets too long.
    """
    declared = {parameter.name: parameter for parameter in parameters}
    pieces, last = [], 0
    for name, (start, end) in _placeholders(query):
        pieces += [query[last:start], _literal(declared[name], values[name], f"body.parameters.{name}")]
        last = end
    rendered = "".join([*pieces, query[last:]])
    if len(rendered) > MAX_QUERY:
        raise field_error("body.parameters", f"with these values the query is longer than {MAX_QUERY} characters")
    return rendered


def _literal(parameter: HuntParameter, value: str, path: str) -> str:
    try:
        match parameter.type:
            case "number":
                if _NUMBER.fullmatch(value) is None:
                    raise ValueError
                return value
            case "ip":
                return f'"{ip_address(value)}"'
            case "datetime":
                moment = datetime.fromisoformat(value)
                return f'"{format_time(moment if moment.tzinfo else moment.replace(tzinfo=UTC))}"'
            case "string":
                return _quoted(value)
    except (ValueError, OverflowError) as error:
        raise field_error(path, f"must be of type {parameter.type}") from error


def _quoted(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
    return f'"{escaped}"'


def next_time(schedule: str | None, now: datetime) -> datetime | None:
    """When a cron expression (UTC) is due next after `now`; None without one. Raises AURORA-4220."""
    if schedule is None:
        return None
    if len(schedule.split()) != 5:
        raise field_error("body.schedule", "must have five fields: minute, hour, day of month, month, day of week")
    try:
        return next(CronSim(schedule, now))
    except (CronSimError, StopIteration) as error:
        raise field_error("body.schedule", "not a cron expression that is ever due") from error


def at_query(error: AuroraError) -> AuroraError:
    """A refusal of the search, told at the place where the hunt has its query."""
    problems = error.detail if isinstance(error.detail, list) else []
    moved = [{**item, "path": str(item.get("path")).replace("query.q", "body.query")} for item in problems]
    return AuroraError(error.code, moved or error.detail, message=error.message, retry_after=error.retry_after)


@dataclass(frozen=True, slots=True)
class Difference:
    """What a run found that the one before hadn't, in its own order, and how many of that one's hits are gone."""

    new: list[str]
    gone: int


def difference(found: Sequence[str], before: Sequence[str]) -> Difference:
    """Compares the log ids of two runs."""
    known, still = set(before), set(found)
    return Difference([log_id for log_id in found if log_id not in known], len(known - still))
