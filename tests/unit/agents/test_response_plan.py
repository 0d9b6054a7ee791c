"""Response plans: only for what was seen, in the right order, cautious where it hurts, and with commands that no name
can break out of."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agents.roster.incident_responder.agent import IncidentResponder
from services.agents.roster.incident_responder.planning import Situation, actions, plan
from services.agents.roster.incident_responder.quoting import carries, quoted
from services.agents.roster.incident_responder.targets import Target
from shared.contracts.agents import AnalyzeThreat
from shared.contracts.common import Observable, Verdict
from shared.contracts.responses import ResponseStep
from shared.contracts.wire import encode
from tests.unit.agents.agent_kit import work

CITED = (f"tr_{'a' * 32}",)
PUBLIC = "45.33.32.156"
#: Names an attacker may give to a host, an account or a file.
HOSTILE = [
    "web01; rm -rf /",
    "$(reboot)",
    "`reboot`",
    "a' ; reboot #",
    "a\u2019; Restart-Computer; \u2018",
    'a"; shutdown /r; "',
    "a && reboot",
    "a | sh",
    "{target} {host} {key}",
    "%(target)s {0}",
    "../../etc/passwd",
    "a b",
]
#: Names that no command line may hold at all.
NOT_CARRIED = ["-rf", "--help", "\u2013Force", "a\nreboot", "a\x1b[31m", "a\x03reboot", "a\u202eb", "", " ", "x" * 2000]
ESCAPED_QUOTE = re.compile("(['\u2018\u2019\u201a\u201b])\\1")


def target(kind: Any, value: str, platform: Any = "linux", host: str = "web01") -> Target:
    return Target(kind, value, "" if kind in ("host", "ip", "domain", "hash") else host, platform, CITED)


def planned(*targets: Target, verdict: Verdict = "malicious", techniques: Sequence[str] = ()) -> list[ResponseStep]:
    return plan(Situation(verdict, techniques, targets))[0]


def acts(steps: Sequence[ResponseStep]) -> list[str]:
    return [step.action for step in steps]


def every_target(value: str, platform: Any) -> list[Target]:
    kinds = ("host", "user", "file", "service", "task", "run_key", "cron_file", "keys_file", "unit_file", "new_account")
    return [target(kind, f"HKLM\\Run\\{value}" if kind == "run_key" else value, platform) for kind in kinds]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_stays_one_word_of_a_linux_command(value: str) -> None:
    steps = planned(*every_target(value, "linux"))
    assert {"disable_account", "quarantine_file", "remove_cron_job", "remove_unit"} <= set(acts(steps))
    told = [text for step in steps for text in (step.command, step.undo) if shlex.quote(value) in text]
    assert told
    for command in told:
        rest = command.replace(shlex.quote(value), "NAME")
        assert value not in rest
        subprocess.run(["bash", "-n", "-c", command], check=True, capture_output=True)
        # Inside "$(...)" too: the words after it are as many as with an ordinary name.
        assert len(shlex.split(rest)) == len(shlex.split(command))


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_stays_one_string_of_a_powershell_command(value: str) -> None:
    steps = planned(*every_target(value, "windows"))
    for step in steps:
        for text in (step.command, step.undo):
            outside = re.sub("'(?:[^'\u2018\u2019\u201a\u201b]|(['\u2018\u2019\u201a\u201b])\\1)*'", "NAME", text)
            assert value == "a b" or value not in outside
            assert "reboot" not in outside
            assert "Restart-Computer" not in outside
            assert "shutdown" not in outside


@pytest.mark.parametrize("value", NOT_CARRIED, ids=range(len(NOT_CARRIED)))
@pytest.mark.parametrize("platform", ["linux", "windows"])
def test_a_name_that_no_command_carries_gets_a_step_without_a_command(value: str, platform: str) -> None:
    assert not carries(value, "posix")
    assert not carries(value, "powershell")
    for step in planned(target("user", value, platform), target("file", value, platform)):
        assert step.command == ""
        assert "by hand" in step.precondition
        assert step.title.isprintable()


@pytest.mark.parametrize("value", ["*", "svc?", "[a-z]", "a`b", 'a"b'])
def test_a_wildcard_of_powershell_is_never_a_target(value: str) -> None:
    [step] = [step for step in planned(target("service", value, "windows")) if step.action == "disable_service"]
    assert step.command == ""


@given(st.text(max_size=40))
def test_what_is_quoted_is_read_back_as_the_same_value(value: str) -> None:
    if carries(value, "posix"):
        assert shlex.split(quoted(value, "posix")) == [value]
    if carries(value, "any"):
        assert shlex.split(quoted(value, "any")) == [value]
        assert not re.search("['\u2018\u2019\u201a\u201b]", quoted(value, "any")[1:-1])
    if carries(value, "powershell"):
        written = quoted(value, "powershell")
        assert written[0] == written[-1] == "'"
        assert ESCAPED_QUOTE.sub(r"\1", written[1:-1]) == value
        assert not re.search("['\u2018\u2019\u201a\u201b]", ESCAPED_QUOTE.sub("", written[1:-1]))


def test_evidence_comes_first_and_the_host_is_taken_back_last() -> None:
    steps = planned(target("host", "web01"), target("user", "alice"), target("cron_file", "/etc/cron.d/x"))
    assert acts(steps)[0] == "capture_volatile_evidence"
    assert acts(steps)[1] == "collect_logs"
    assert acts(steps).index("isolate_host") < acts(steps).index("remove_cron_job")
    assert acts(steps)[-1] == "return_to_service"
    phases = [step.phase for step in steps]
    assert phases == sorted(phases, key=["containment", "eradication", "recovery"].index)
    assert [step.id for step in steps] == [f"step-{number}" for number in range(1, len(steps) + 1)]


def test_every_step_says_risk_undo_and_what_shows_its_target_and_waits_for_approval() -> None:
    everything = [*every_target("x.service", "linux"), *every_target("x.service", "windows")]
    everything += [target("ip", PUBLIC), target("hash", "a" * 64), target("domain", "evil.bad-names.top")]
    techniques = sorted({name for action in actions() for name in action.techniques})
    steps = planned(*everything, techniques=techniques)
    others = {"suspend_process", "end_process", "replace_root_credentials"}
    assert {action.id for action in actions()} - set(acts(steps)) == others
    for step in steps:
        assert step.requires_approval
        assert step.risk_text
        assert step.precondition
        assert step.undo
        assert step.rationale
        assert step.citations == list(CITED)


def test_a_suspicion_is_looked_into_and_little_is_touched() -> None:
    steps = planned(target("host", "web01"), target("user", "alice"), target("ip", PUBLIC), verdict="suspicious")
    assert set(acts(steps)) == {"capture_volatile_evidence", "collect_logs", "block_address"}


@pytest.mark.parametrize("verdict", ["benign", "undetermined"])
def test_nothing_is_planned_without_a_suspicion(verdict: Verdict) -> None:
    steps, left_out = plan(Situation(verdict, (), [target("host", "web01")]))
    assert steps == []
    assert verdict in left_out[0]


def test_a_step_that_a_technique_calls_for_is_planned_when_it_was_seen() -> None:
    host = target("host", "web01")
    assert "rebuild_host" not in acts(planned(host))
    assert {"rebuild_host", "rotate_secrets"} <= set(acts(planned(host, techniques=["T1003.008"])))
    assert "restore_data" in acts(planned(host, techniques=["T1486"]))


@pytest.mark.parametrize(
    ("protected", "action"),
    [
        (target("host", "DC01", "windows"), "isolate_host"),
        (target("host", "corp-dc2.example.org", "windows"), "isolate_host"),
        (target("user", "Administrator", "windows"), "disable_account"),
        (target("user", "svc-backup", "windows"), "disable_account"),
        (target("ip", "10.0.0.1"), "block_address"),
        (target("ip", "10.0.0.53"), "block_address"),
    ],
    ids=["controller", "controller-by-part", "administrator", "service", "gateway", "inside"],
)
def test_a_protected_target_has_high_risk_and_a_caution(protected: Target, action: str) -> None:
    [step] = [step for step in planned(protected) if step.action == action]
    assert step.risk == "high"
    assert step.precondition.startswith("This ")


def test_what_the_evidence_shows_to_be_a_controller_or_a_resolver_is_protected() -> None:
    situation = Situation(
        "malicious",
        (),
        [target("host", "ordinary", "windows"), target("ip", "10.0.0.53")],
        controllers={"ordinary"},
        resolvers={"10.0.0.53"},
    )
    steps = {step.action: step for step in plan(situation)[0]}
    assert "domain controller" in steps["isolate_host"].precondition
    assert "resolver" in steps["block_address"].precondition


@pytest.mark.parametrize("name", ["web01", "adcorp", "decade", "ws-dcx1a"])
def test_an_ordinary_host_is_no_controller(name: str) -> None:
    [step] = [step for step in planned(target("host", name)) if step.action == "isolate_host"]
    assert step.risk == "medium"


@pytest.mark.parametrize(
    "spared",
    [
        target("ip", "127.0.0.1"),
        target("ip", "not an address; reboot"),
        target("domain", "microsoft.com"),
        target("domain", "a b.example"),
        target("hash", "zz"),
    ],
    ids=["loopback", "no-address", "benign-domain", "no-domain", "no-hash"],
)
def test_what_nothing_can_be_done_against_is_named_and_not_planned(spared: Target) -> None:
    steps, left_out = plan(Situation("malicious", (), [spared]))
    assert steps == []
    assert len(left_out) == 1


def test_a_plan_is_bounded_and_says_what_it_left_out() -> None:
    steps, left_out = plan(Situation("malicious", (), [target("ip", f"45.33.32.{n}") for n in range(20)]))
    assert len(steps) == 5
    assert left_out == ["15 more of kind ip: 5 are planned for"]


def test_the_same_targets_give_the_same_plan() -> None:
    everything = every_target("x", "linux")
    assert encode(planned(*everything)) == encode(planned(*everything))


def test_an_address_of_the_sixth_version_is_blocked_as_one() -> None:
    [step] = planned(target("ip", "2a00:1450:4001::5"), verdict="suspicious")
    assert "ip6 daddr 2a00:1450:4001::5" in step.command


async def test_the_responder_has_no_vote() -> None:
    assessment = await IncidentResponder().analyze(AnalyzeThreat(iocs=[Observable("ip", "192.0.2.7")]), work())
    assert (assessment.verdict, assessment.confidence, assessment.findings) == ("undetermined", 0.0, [])
    assert "plan_response" in assessment.summary
