"""DNS: what questions to one registered domain look like together (tunnels), and what one source asks for (generated
names). Pure.

A tunnel carries data in the names: many different ones below one domain, long, of high entropy, asked for in types that
carry much back. Content networks have long names too, but few of them; what looks names up as a matter of course
(block lists, reputation) is knowledge/periodic.json.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from services.agents.toolkit.network.flows import first
from services.agents.toolkit.network.names import entropy, is_generated, oddness, registered
from shared.contracts.logs import LogEvent

FIELDS = (
    "source.ip", "host.name", "dns.question.name", "dns.question.type", "dns.response_code", "dns.answers.data",
    "process.executable",
)  # fmt: skip
#: Types whose answers carry data; addresses carry a few bytes.
_CARRYING = frozenset({"TXT", "NULL", "CNAME", "MX", "KEY", "PRIVATE", "TYPE10", "TYPE65399"})
_MISSING = frozenset({"NXDOMAIN", "NAMEERROR", "3", "9003"})
#: Names that nobody registers: looked up by address, by service, or on the local network.
_LOCAL = (".arpa", ".local", ".lan", ".internal", ".home", ".corp", ".localdomain")
MIN_TUNNEL_NAMES = 30
MIN_TUNNEL_LENGTH = 24.0
MIN_TUNNEL_ENTROPY = 3.2


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `missing` is True when the answer was that there is no such name, None where it isn't logged."""

    at: float
    log_id: str
    source: str
    name: str
    kind: str
    missing: bool | None
    answers: tuple[str, ...] = ()
    process: str = ""


@dataclass(frozen=True, slots=True)
class Domain:
    """All questions below one registered domain. `names` counts the different parts before it, of which `length` is
    the mean number of characters and `entropy` the mean bits a character; shares are from 0 to 1."""

    domain: str
    questions: int
    names: int
    length: float
    entropy: float
    carrying: float
    missing: float
    oddness: float
    first: float
    last: float
    examples: tuple[str, ...]
    sources: tuple[str, ...]
    processes: tuple[str, ...]

    @property
    def is_tunnel(self) -> bool:
        """Whether the names below it look like data."""
        return (
            self.names >= MIN_TUNNEL_NAMES
            and self.names >= 0.6 * self.questions
            and self.length >= MIN_TUNNEL_LENGTH
            and self.entropy >= MIN_TUNNEL_ENTROPY
        )


@dataclass(frozen=True, slots=True)
class Generated:
    """The names of one source that read as generated: different registered domains, and how many had no answer."""

    source: str
    domains: int
    missing: int
    asked: int
    examples: tuple[str, ...]


def question_of(event: LogEvent) -> Question | None:
    """The question that an event tells of; None when it names none, or one that nobody registers."""
    name = first(event.ecs, "dns.question.name").rstrip(".").lower()
    if "." not in name or name.endswith(_LOCAL):
        return None
    answers = event.ecs.get("dns.answers.data")
    code = first(event.ecs, "dns.response_code").upper()
    return Question(
        at=event.timestamp.timestamp(),
        log_id=event.id,
        source=first(event.ecs, "source.ip") or first(event.ecs, "host.name"),
        name=name,
        kind=first(event.ecs, "dns.question.type").upper(),
        missing=code in _MISSING if code else None,
        answers=tuple(str(answer)[:100] for answer in answers[:8]) if isinstance(answers, list) else (),
        process=first(event.ecs, "process.executable"),
    )


def questions_of(events: Iterable[LogEvent]) -> list[Question]:
    """The questions among some events, oldest first."""
    found = [question for event in events if (question := question_of(event)) is not None]
    return sorted(found, key=lambda question: (question.at, question.log_id))


def domains_in(questions: Sequence[Question]) -> list[Domain]:
    """The registered domains that were asked about, those with most different names first."""
    below: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        if owner := registered(question.name):
            below[owner].append(question)
    found = [_domain(owner, members) for owner, members in below.items()]
    return sorted(found, key=lambda domain: (-domain.names, -domain.oddness, domain.domain))


def _domain(owner: str, questions: Sequence[Question]) -> Domain:
    names = Counter(question.name for question in questions)
    parts = [part for name in names if (part := name.removesuffix(owner).replace(".", ""))]
    return Domain(
        domain=owner,
        questions=len(questions),
        names=len(parts),
        length=round(fmean(map(len, parts)), 2) if parts else 0.0,
        entropy=round(fmean(map(entropy, parts)), 3) if parts else 0.0,
        carrying=_share(question.kind in _CARRYING for question in questions),
        missing=_share(bool(question.missing) for question in questions),
        oddness=oddness(owner.partition(".")[0]),
        first=min(question.at for question in questions),
        last=max(question.at for question in questions),
        examples=tuple(sorted(names, key=lambda name: (-len(name), name))[:3]),
        sources=tuple(sorted({question.source for question in questions if question.source})[:5]),
        processes=tuple(sorted({question.process for question in questions if question.process})[:3]),
    )


def _share(holds: Iterable[bool]) -> float:
    found = list(holds)
    return round(sum(found) / len(found), 4) if found else 0.0


def generated_in(questions: Sequence[Question]) -> list[Generated]:
    """The sources that asked for names which read as generated, the most such names first."""
    asked: dict[str, dict[str, bool]] = defaultdict(dict)
    for question in questions:
        if owner := registered(question.name, shared=False):
            known = asked[question.source].get(owner, True)
            # Missing only when no question below it was answered.
            asked[question.source][owner] = known and bool(question.missing)
    found = []
    for source, domains in asked.items():
        odd = {owner: gone for owner, gone in domains.items() if is_generated(owner)}
        if odd:
            examples = tuple(sorted(odd)[:6])
            found.append(Generated(source, len(odd), sum(odd.values()), len(domains), examples))
    return sorted(found, key=lambda item: (-item.domains, item.source))
