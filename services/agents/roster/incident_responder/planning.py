"""From targets to a plan: which playbook steps fit, with risk, precondition, command and undo. Pure.

The steps are knowledge/playbooks.json. The same targets give the same plan, in the same order. Values are attackers'
text: fenced in sentences, quoted for the shell in commands, and left out of a command that can't carry them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import msgspec

from services.agents.roster.incident_responder.protection import caution, refusal
from services.agents.roster.incident_responder.quoting import Shell, carries, quoted
from services.agents.roster.incident_responder.targets import Target, TargetKind
from services.agents.toolkit.fencing import quote
from shared.contracts.common import Observable, Verdict
from shared.contracts.responses import Phase, ResponseStep, Risk

_FILE = Path(__file__).parent / "knowledge" / "playbooks.json"
_MAX_OF_A_KIND = 5
_MAX_STEPS = 80
_PLACES = re.compile(r"\{(target|host|name|key|family|sum|algorithm|watch)\}")
_PHASES: tuple[Phase, ...] = ("containment", "eradication", "recovery")
#: The type of an observable that a kind of target is told as.
_TYPES: dict[TargetKind, str] = {
    "superuser": "user", "new_account": "user", "run_key": "registry", "cron_file": "file", "keys_file": "file",
    "unit_file": "file",
}  # fmt: skip
_HASHES = {32: ("md5sum", "MD5"), 40: ("sha1sum", "SHA1"), 64: ("sha256sum", "SHA256")}
_HIVES = {"HKLM": "HKEY_LOCAL_MACHINE", "HKCU": "HKEY_CURRENT_USER", "HKU": "HKEY_USERS"}
_NO_COMMAND = "Its name holds what no command line carries safely: find it by hand"
#: Where such a value stands is looked for by what is certain of it.
_WATCHED: dict[str, str] = {"ip": "destination.ip", "domain": "dns.question.name", "user": "user.name"}


class Action(msgspec.Struct, frozen=True):
    """One kind of step, as the file describes it."""

    id: str
    phase: Phase
    target: TargetKind
    platform: Literal["any", "linux", "windows"]
    since: Verdict
    techniques: tuple[str, ...]
    title: str
    rationale: str
    risk: Risk
    risk_text: str
    precondition: str
    shell: Shell
    command: str
    undo: str


class _Knowledge(msgspec.Struct):
    description: str
    actions: list[Action]


@dataclass(frozen=True, slots=True)
class Situation:
    """What a plan is made for. `controllers` and `resolvers` are as in `protection.caution`."""

    verdict: Verdict
    techniques: Collection[str]
    targets: Sequence[Target]
    controllers: Collection[str] = ()
    resolvers: Collection[str] = ()


@lru_cache(maxsize=1)
def actions() -> tuple[Action, ...]:
    """All actions, in the order in which they are to be done."""
    known = msgspec.json.decode(_FILE.read_bytes(), type=_Knowledge).actions
    return tuple(sorted(known, key=lambda action: _PHASES.index(action.phase)))


def plan(situation: Situation) -> tuple[list[ResponseStep], list[str]]:
    """The steps, and what was left out and why."""
    if situation.verdict not in ("suspicious", "malicious"):
        return [], [f"the verdict is {situation.verdict}: nothing is planned"]
    targets, left_out = _bounded(situation.targets)
    steps: list[ResponseStep] = []
    for action in actions():
        if not _fits(action, situation):
            continue
        for target in targets:
            if target.kind == action.target and action.platform in ("any", _platform(target, targets)):
                steps.append(_step(action, target, situation, f"step-{len(steps) + 1}"))
    if situation.verdict == "suspicious":
        left_out.append("isolation, eradication and recovery: they are planned when the verdict is malicious")
    left_out += _unknown_platforms(targets)
    if len(steps) > _MAX_STEPS:
        left_out.append(f"{len(steps) - _MAX_STEPS} more steps")
    return steps[:_MAX_STEPS], left_out


def _fits(action: Action, situation: Situation) -> bool:
    if action.since == "malicious" and situation.verdict != "malicious":
        return False
    seen = {*situation.techniques, *(technique.partition(".")[0] for technique in situation.techniques)}
    return not action.techniques or not seen.isdisjoint(action.techniques)


def _bounded(targets: Sequence[Target]) -> tuple[list[Target], list[str]]:
    """At most five targets of a kind, and none that nothing may be planned against."""
    kept: list[Target] = []
    left_out: list[str] = []
    more: Counter[str] = Counter()
    for target in targets:
        kind = target.kind.replace("_", " ")
        reason = refusal(target)
        if reason is not None:
            left_out.append(f"{kind} {quote(target.value, 80)}: {reason}")
        elif sum(other.kind == target.kind for other in kept) >= _MAX_OF_A_KIND:
            more[kind] += 1
        else:
            kept.append(target)
    left_out += [f"{count} more of kind {kind}: {_MAX_OF_A_KIND} are planned for" for kind, count in more.items()]
    return kept, left_out


def _platform(target: Target, targets: Sequence[Target]) -> str:
    """The target's own, or for what has none (a hash) the first host's."""
    if target.kind != "hash" or target.platform != "unknown":
        return target.platform
    return next((host.platform for host in targets if host.kind == "host" and host.platform != "unknown"), "linux")


def _unknown_platforms(targets: Sequence[Target]) -> list[str]:
    return [
        f"steps on host {quote(target.value, 80)}: nothing seen of it tells its system"
        for target in targets
        if target.kind == "host" and target.platform == "unknown"
    ]


def _step(action: Action, target: Target, situation: Situation, identifier: str) -> ResponseStep:
    warned = caution(target, situation.controllers, situation.resolvers)
    values = _values(target, situation)
    safe = all(carries(value, action.shell) for value in _named(action.command, values))
    safe = safe and all(carries(value, action.shell) for value in _named(action.undo, values))
    preconditions = [warned or "", action.precondition and _told(action.precondition, values)]
    preconditions.append(_stranger(target, situation))
    preconditions.append("" if safe else _NO_COMMAND)

    def written(text: str) -> str:
        return _replaced(text, values, lambda value: quoted(value, action.shell))

    return ResponseStep(
        id=identifier,
        phase=action.phase,
        action=action.id,
        title=_told(action.title, values),
        target=Observable(_TYPES.get(target.kind, target.kind), target.value[:4096]),
        rationale=action.rationale,
        risk="high" if warned else action.risk,
        risk_text=action.risk_text,
        precondition="; ".join(text for text in preconditions if text),
        command=written(action.command) if safe else "",
        undo=written(action.undo) if safe else "Put back by hand what was changed by hand",
        citations=list(target.citations),
    )


def _stranger(target: Target, situation: Situation) -> str:
    """What to ask about something that was set up by somebody whom no event of the alerts names."""
    people = {other.value for other in situation.targets if other.kind in ("user", "superuser")}
    if not target.by or target.by in people or target.by == "root":
        return ""
    return f"It was set up by {quote(target.by, 60)}, whom the alerts' events don't name: it may be honest"


def _values(target: Target, situation: Situation) -> dict[str, str]:
    """What the names in braces stand for."""
    values = {"target": target.value, "host": target.host or "its host", "name": target.value.rpartition("/")[2]}
    if target.kind == "run_key":
        key, _, name = target.value.rpartition("\\")
        hive, _, rest = key.partition("\\")
        values |= {"key": f"Registry::{_HIVES.get(hive, hive)}\\{rest}", "name": name}
    if target.kind == "ip":
        values["family"] = "ip6" if ip_address(target.value).version == 6 else "ip"
    if target.kind == "hash":
        values["sum"], values["algorithm"] = _HASHES[len(target.value)]
    if target.kind == "host":
        values["watch"] = _watch(situation, target)
    return values


def _watch(situation: Situation, host: Target) -> str:
    """A search for what would show that the attacker is back."""
    terms = [f'host.name:"{_term(host.value)}"']
    for target in situation.targets:
        if target.kind in _WATCHED and refusal(target) is None and len(terms) < 6:
            terms.append(f'{_WATCHED[target.kind]}:"{_term(target.value)}"')
    return " or ".join(terms)


def _term(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")


def _named(text: str, values: dict[str, str]) -> list[str]:
    return [values[name] for name in _PLACES.findall(text) if name in values]


def _told(text: str, values: dict[str, str]) -> str:
    return _replaced(text, values, lambda value: quote(value, 120))


def _replaced(text: str, values: dict[str, str], written: Callable[[str], str]) -> str:
    """In one pass: what a value holds is never taken for a name in braces."""
    return _PLACES.sub(lambda match: written(values[match[1]]) if match[1] in values else match[0], text)
