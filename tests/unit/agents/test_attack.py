"""ATT&CK by id: names, tactics, who uses what; a resemblance needs three techniques."""

from __future__ import annotations

from services.agents.toolkit import attack
from services.agents.toolkit.tools.attack import ATTACK_LOOKUP, ATTACK_OVERLAP, AttackArguments
from tests.unit.agents.agent_kit import work


def test_a_technique_has_its_name_and_its_tactics() -> None:
    assert attack.name("T1059.001") == "Command and Scripting Interpreter: PowerShell"
    assert attack.tactics("t1110") == ("credential-access",)
    assert attack.is_valid("T1190")


def test_what_is_unknown_or_no_more_in_force_has_no_name() -> None:
    assert not attack.is_valid("T9999")
    assert not attack.is_valid("T1086")  # revoked by T1059.001
    assert attack.name("nonsense") == ""
    assert attack.tactics("T9999") == ()


def test_fewer_than_three_techniques_resemble_nobody() -> None:
    assert attack.overlapping(["T1059.001", "T1027"]) == []
    assert attack.overlapping(["T1059.001", "T1059.001", "T1059.001"]) == []


def test_a_resemblance_names_who_uses_most_of_the_techniques_the_closest_first() -> None:
    found = attack.overlapping(["T1003.001", "T1558.003", "T1021.002", "T1550.002", "T1047"])
    groups = [actor for actor in found if actor.kind == "group"]
    assert groups[0].name == "Wizard Spider"
    assert groups[0].share == 1.0
    assert all(actor.share >= 0.6 for actor in found)
    assert [actor.share for actor in groups] == sorted((actor.share for actor in groups), reverse=True)


async def test_the_tools_tell_of_techniques_within_the_bounds_of_a_record() -> None:
    at_work = work()
    looked_up = await at_work.use(ATTACK_LOOKUP, AttackArguments(["T1190", "T9999"]))
    assert looked_up is not None
    (known,) = looked_up.result["techniques"]
    assert (known["name"], looked_up.result["unknown"]) == ("Exploit Public-Facing Application", ["T9999"])
    assert known["groups"]["count"] > len(known["groups"]["names"]) > 0
    assert known["mitigations"]["names"]
    overlap = await at_work.use(ATTACK_OVERLAP, AttackArguments(["T1059.001", "T1027", "T1105"]))
    assert overlap is not None
    assert overlap.result["overlaps"]
    assert "truncated" not in overlap.result
