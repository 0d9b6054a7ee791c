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

from services.agents.toolkit.asking import said_signs
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.handing import Answer
from services.agents.toolkit.signs import WEAK_BELOW, Sign
from shared.contracts.investigations import Citation
from shared.contracts.reviews import LoginReview

#: Who is asked how an address logged in.
KNOWS_LOGINS = "identity_analyst"
_FILE = Path(__file__).parent / "knowledge" / "web.json"
_MAX_URL = 8192
_PROBED_PATHS = 15
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


def logins_signs(source: str, answer: Answer[LoginReview]) -> list[Sign]:
    """What the identity analyst says of the logins from one address."""
    return said_signs("reviewed-logins", KNOWS_LOGINS, f"logins from {quote(source, 60)}", answer.result, answer)


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


def unknown_note(values: Sequence[str]) -> str:
    """What the assessment says of indicators without intelligence."""
    shown = ", ".join(quote(value, 80) for value in values[:8])
    return f"nothing is known of {len(values)} indicator(s) by imported intelligence: {shown}"
