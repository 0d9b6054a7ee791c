"""What is said of a source by its own behaviour on this estate, and of an indicator by its form. Pure.

No reputation is invented: an indicator that nothing here speaks about stays unknown, and the assessment says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import msgspec
import re2

from services.agents.toolkit.fencing import quote
from services.agents.toolkit.signs import WEAK_BELOW, Sign
from shared.contracts.investigations import Citation

_FILE = Path(__file__).parent / "knowledge" / "web.json"
_MAX_URL = 8192
#: Failed logins from one source: a person mistypes a few times, a programme doesn't stop.
_GUESSES = 8
_SPRAYED_USERS = 4
_PROBED_PATHS = 15
#: So many failures to each success: many people behind one address mistype less.
_FAILURES_TO_SUCCESS = 3
#: An attack string that is answered with a page may have worked, or been searched for as text.
_ANSWERED = 0.3


class Pattern(msgspec.Struct, frozen=True):
    """One attack string and what it means. `weight` is 0..1."""

    id: str
    pattern: str
    weight: float
    techniques: tuple[str, ...]
    text: str


class _Knowledge(msgspec.Struct):
    description: str
    urls: list[Pattern]
    agents: list[Pattern]


@lru_cache(maxsize=1)
def _compiled() -> dict[str, list[tuple[Pattern, Any]]]:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    known = msgspec.json.decode(_FILE.read_bytes(), type=_Knowledge)
    return {
        name: [(pattern, re2.compile(pattern.pattern, options)) for pattern in patterns]
        for name, patterns in (("urls", known.urls), ("agents", known.agents))
    }


def request_signs(url: str, agent: str, status: str, carrier: Citation) -> list[Sign]:
    """What one web request says: attack strings in its URL, a client that calls itself a scanner."""
    decoded = unquote_plus(unquote_plus(url[:_MAX_URL]))
    signs = []
    for pattern, expression in _compiled()["urls"]:
        if expression.search(decoded) or expression.search(url[:_MAX_URL]):
            claim = f"a request tried {pattern.text}: {quote(url)} was answered {quote(status, 8)}"
            signs.append(Sign(pattern.id, claim, pattern.weight, pattern.techniques, carrier))
            if status.startswith("2") and pattern.weight >= WEAK_BELOW:
                claim = f"the server answered a request that tried {pattern.text} with {quote(status, 8)}"
                signs.append(Sign("attack-answered", claim, _ANSWERED, pattern.techniques, carrier))
    for pattern, expression in _compiled()["agents"]:
        if expression.search(agent[:_MAX_URL]):
            claim = f"the client calls itself {pattern.text}: {quote(agent, 100)}"
            signs.append(Sign(pattern.id, claim, pattern.weight, pattern.techniques, carrier))
    return signs


def login_signs(source: str, failures: Citation, successes: Citation) -> list[Sign]:
    """Guessing, spraying, and guessing that succeeded, from one source's logins."""
    failed, succeeded = failures.result, successes.result
    few = failed["count"] < max(_GUESSES, _FAILURES_TO_SUCCESS * succeeded["count"])
    if few and not failed["at_least"]:  # beyond the limit of counting there are no proportions
        return []
    users = failed["distinct"].get("user.name", 0)
    many = f"{failed['count']}{' or more' if failed['at_least'] else ''}"
    claim = f"{quote(source, 60)} failed to log in {many} times as {users} user(s)"
    kind, techniques = ("spraying", ("T1110.003",)) if users >= _SPRAYED_USERS else ("guessing", ("T1110.001",))
    signs = [Sign(kind, claim, 0.7, techniques, failures)]
    if succeeded["count"] and _after(succeeded["last_seen"], failed["first_seen"]):
        names = ", ".join(quote(name, 40) for name in succeeded["values"].get("user.name", {}))
        claim = f"after guessing, {quote(source, 60)} logged in as {names or 'somebody'}"
        signs.append(Sign("guessed-login", claim, 0.9, ("T1110.001", "T1078"), successes))
    return signs


def probing_signs(source: str, requests: Citation) -> list[Sign]:
    """Many different paths that aren't there: somebody searches what the server has."""
    seen = requests.result
    paths = seen["distinct"].get("url.path", 0)
    statuses: Mapping[str, int] = seen["values"].get("http.response.status_code", {})
    missing = sum(count for status, count in statuses.items() if status in ("400", "401", "403", "404", "405"))
    if paths < _PROBED_PATHS or missing * 2 < seen["count"]:
        return []
    claim = f"{quote(source, 60)} asked for {paths} paths, and {missing} of {seen['count']} requests were refused"
    return [Sign("probing", claim, 0.6, ("T1595.003",), requests)]


def sighting_sign(value: str, seen: Citation) -> Sign:
    """Where an indicator was seen; that alone speaks neither for nor against it."""
    hosts = ", ".join(quote(name, 40) for name in seen.result["values"].get("host.name", {}))
    claim = f"{quote(value, 80)} was seen {seen.result['count']} time(s), on {hosts or 'no named host'}"
    return Sign(f"sighting {value}", claim, 0.0, (), seen)


def _after(moment: str | None, start: str | None) -> bool:
    # RFC 3339 in UTC with milliseconds compares as text.
    return moment is not None and start is not None and moment >= start


def unknown_note(values: Sequence[str]) -> str:
    """What the assessment says of indicators without intelligence."""
    shown = ", ".join(quote(value, 80) for value in values[:8])
    return f"nothing is known of {len(values)} indicator(s) by imported intelligence: {shown}"
