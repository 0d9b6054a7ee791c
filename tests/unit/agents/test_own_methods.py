"""Methods of specialists' own: what they could not look at stands in their answers, as it does in assessments."""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.agents import app
from services.agents.app import ROSTER
from services.agents.toolkit.agent import Agent, Skill
from shared.content import canonical
from shared.contracts.agents import Recorded
from shared.contracts.claims import Citation, Finding
from shared.contracts.common import Observable
from shared.contracts.intel_methods import (
    ATTRIBUTE_TECHNIQUES,
    AttributionRequest,
    ExposureRequest,
    IndicatorRequest,
)
from shared.contracts.network_analysis import AnalyzeDns, FindBeacons
from shared.contracts.pivots import HuntRequest
from shared.contracts.reports import CitedResult, Report, ReportedAlert, ReportRequest
from shared.contracts.responses import ResponseRequest
from shared.contracts.reviews import ReviewAccount, ReviewLogins, ReviewPrincipal
from shared.contracts.samples import TriageSample
from shared.contracts.timelines import BUILD_TIMELINE, TimelineRequest
from shared.errors import VALIDATION, AuroraError
from tests.unit.agents.agent_kit import NOW, context, work

SINCE = NOW - timedelta(hours=1)
SPAN: dict[str, Any] = {"since": SINCE, "until": NOW}
IP = Observable("ip", "192.0.2.7")
FINDING = Finding(agent="triage", claim='the rule on "web01" fired', confidence=0.9, citations=["tr_1"])
ALERT = ReportedAlert(
    id="ALRT-2026-000001",
    title="a rule",
    severity="high",
    entities={"host": "web01"},
    count=1,
    first_seen=SINCE,
    last_seen=NOW,
)
#: What each method is asked.
ASKED: dict[str, Any] = {
    "analyze_dns": AnalyzeDns(source="web01", **SPAN),
    "assess_exposure": ExposureRequest(host="web01", until=NOW),
    "attribute_techniques": AttributionRequest(techniques=["T1059", "T1105", "T1071"]),
    "build_timeline": TimelineRequest(hosts=["web01"], **SPAN),
    "find_beacons": FindBeacons(source="web01", **SPAN),
    "hunt": HuntRequest(observables=[IP], **SPAN),
    "lookup_indicators": IndicatorRequest(observables=[IP], at=NOW),
    "plan_response": ResponseRequest(alert_id="ALRT-2026-000001", verdict="malicious", severity="high"),
    "review_account": ReviewAccount(user="ada", **SPAN),
    "review_logins": ReviewLogins(field="source.ip", value=IP.value, **SPAN),
    "review_principal": ReviewPrincipal(value="ada", **SPAN),
    "triage_sample": TriageSample(sha256="ab" * 32),
    "write_report": ReportRequest(
        investigation_id="inv-1",
        alert_ids=["ALRT-2026-000001"],
        verdict="malicious",
        severity="high",
        confidence=0.9,
        findings=[FINDING],
        alerts=[ALERT],
        citations=[CitedResult(id="tr_1", agent="triage", tool="get_alert", executed_at=NOW)],
    ),
}


SKILLS = [pytest.param(skill, id=skill.method.name) for agent in ROSTER for skill in agent.skills]


@pytest.mark.parametrize("skill", SKILLS)
async def test_a_refused_call_stands_in_the_answer_with_its_reason(skill: Skill[Any, Any]) -> None:
    doing = work(context(tool_calls=0))
    answer = doing.settle(await skill.run(copy.deepcopy(ASKED[skill.method.name]), doing))
    assert {refusal.reason for refusal in answer.refused} == {"the budget of tool calls is spent"}
    noted = [*getattr(answer, "not_checked", ()), *getattr(answer, "not_planned", ())]
    # A report says only what somebody is cited for.
    missing = [item.tool for item in answer.refused if f"{item.tool}: {item.reason}" not in noted]
    assert missing == [] or isinstance(answer, Report)


@pytest.mark.parametrize("skill", SKILLS)
async def test_an_answer_is_replayed_to_the_same_bytes_also_where_calls_were_refused(skill: Skill[Any, Any]) -> None:
    doing = work(context(tool_calls=0))
    answer = doing.settle(await skill.run(copy.deepcopy(ASKED[skill.method.name]), doing))
    call = context()
    assert call.handoff is not None
    recorded = Recorded(asked_at=NOW, citations=answer.citations, refusals=answer.refused)
    again = work(msgspec.structs.replace(call, handoff=msgspec.structs.replace(call.handoff, recorded=recorded)))
    assert canonical(again.settle(await skill.run(copy.deepcopy(ASKED[skill.method.name]), again))) == canonical(answer)


async def test_what_an_own_method_called_comes_with_its_answer() -> None:
    [skill] = [item for agent in ROSTER for item in agent.skills if item.method is ATTRIBUTE_TECHNIQUES]
    doing = work()
    answer = doing.settle(await skill.run(ASKED["attribute_techniques"], doing))
    assert [item.tool for item in answer.citations] == ["attack_overlap"]
    assert all(isinstance(item, Citation) for item in answer.citations)
    assert answer.refused == []


async def test_an_alert_that_could_not_be_read_is_not_said_to_name_no_host() -> None:
    [skill] = [item for agent in ROSTER for item in agent.skills if item.method is BUILD_TIMELINE]
    with pytest.raises(AuroraError) as refused:
        await skill.run(TimelineRequest(alert_id="ALRT-2026-000001"), work(context(tool_calls=0)))
    assert refused.value.code is VALIDATION
    assert refused.value.detail[0]["path"] == "params.alert_id"
    assert "budget" in refused.value.detail[0]["message"]


def test_every_own_method_of_the_roster_is_asked_here() -> None:
    assert {skill.method.name for agent in ROSTER for skill in agent.skills} == set(ASKED)


@pytest.mark.parametrize("agent", ROSTER, ids=[agent.id for agent in ROSTER])
def test_the_page_of_an_agent_names_its_tools_and_methods_and_fits_a_screen(agent: Agent) -> None:
    page = (Path(app.__file__).parent / "roster" / agent.id / "README.md").read_text(encoding="utf-8")
    names = [*(tool.name for tool in agent.tools), *(skill.method.name for skill in agent.skills)]
    assert [name for name in names if f"`{name}" not in page] == []
    assert page.count("\n") <= 45
