"""What the identity analyst concludes from its tables, and what single steps about accounts mean."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agents.roster.identity_analyst import judgement
from services.agents.roster.identity_analyst.subjects import Login, subjects_of
from services.agents.toolkit.books import ACCOUNT_FACTS
from services.agents.toolkit.evidence import Evidence, Seen
from services.agents.toolkit.signs import MALICIOUS_FROM, SUSPICIOUS_FROM, Sign, score
from services.siem.logs.parsers import Rejected, parse_items
from shared.contracts.common import Observable
from tests.unit.agents.agent_kit import citation, event


def pair(worst: int = 0, failed: int | None = None, before: int = 0, **changes: Any) -> dict[str, Any]:
    after = {"at": "2026-11-22T02:00:00.000Z", "log_id": "l", "host": "web01", "failed_before": before}
    return {
        "user": "ada",
        "source": "10.0.0.7",
        "failed": worst if failed is None else failed,
        "entered": 1 if before else 0,
        "worst_hour": worst,
        "even": False,
        "after": after if before else None,
        **changes,
    }


def signs(**tables: list[dict[str, Any]]) -> list[Sign]:
    return judgement.login_signs(citation(tables))


def kinds(found: list[Sign]) -> set[str]:
    return {sign.kind for sign in found}


def test_guessing_is_suspicious_and_with_a_login_after_it_malicious() -> None:
    assert SUSPICIOUS_FROM <= score(signs(pairs=[pair(20)])) < MALICIOUS_FROM
    assert score(signs(pairs=[pair(20, before=20)])) >= MALICIOUS_FROM


def test_a_few_mistakes_are_a_persons_own() -> None:
    assert signs(pairs=[pair(7)]) == []
    assert score(signs(pairs=[pair(6, before=6)])) < SUSPICIOUS_FROM
    assert signs(pairs=[pair(4, before=4)]) == []


def test_failures_at_one_pace_are_an_old_password_also_when_it_is_put_right() -> None:
    assert kinds(signs(pairs=[pair(60, even=True)])) == {"old-password"}
    assert score(signs(pairs=[pair(60, before=60, even=True)])) < SUSPICIOUS_FROM


def test_sources_from_which_accounts_were_entered_after_failures_are_followed_the_worst_first() -> None:
    rows = [pair(9, source="10.0.0.1"), pair(4, before=4, source="10.0.0.2"), pair(9, before=9, source="10.0.0.3")]
    local = pair(5, before=5, source="")
    assert judgement.sources_after_failures(citation({"pairs": [*rows, local]})) == ["10.0.0.3", "10.0.0.2"]


def source(users: int, tries: float = 1, entered: int = 0, **changes: Any) -> dict[str, Any]:
    row = {"source": "10.0.0.7", "users": users, "users_hour": users, "failed": round(users * tries), "tries": tries}
    return {**row, "entered": entered, "got_in": [], **changes}


def test_few_tries_at_many_accounts_are_spraying_and_many_are_guessing() -> None:
    assert [sign.techniques for sign in signs(sources=[source(12)])] == [("T1110.003",)]
    assert [sign.techniques for sign in signs(sources=[source(12, tries=30)])] == [("T1110.001",)]
    assert signs(sources=[source(12, entered=9)]) == []
    assert signs(sources=[source(3, tries=4)]) == []
    assert score(signs(sources=[source(12, entered=1, got_in=["ada"])])) >= MALICIOUS_FROM


@pytest.mark.parametrize(
    ("denied", "accepted", "least", "most"),
    [(2, True, 0, 0), (3, False, 0.3, 0.4), (6, False, 0.5, 0.7), (6, True, 0.8, 0.9)],
    ids=["twice", "thrice", "often", "until one was accepted"],
)
def test_pushed_second_factors_speak_by_their_number(denied: int, accepted: bool, least: float, most: float) -> None:
    row = {"user": "ada", "sources_hour": 1, "failed_hour": denied, "denied": denied, "accepted": accepted}
    assert least <= score(signs(accounts=[row])) <= most


@settings(deadline=None)
@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 50), st.booleans())
def test_more_failures_never_speak_less(worst: int, more: int, before: int, even: bool) -> None:
    before = min(before, worst)
    less = score(signs(pairs=[pair(worst, before=before, even=even)]))
    assert less <= score(signs(pairs=[pair(worst + more, before=before, even=even)]))


def test_only_a_burst_of_weak_tickets_is_roasting() -> None:
    def found(services: int, **changes: Any) -> list[Sign]:
        seen = {
            "weak_services_count": services,
            "asked_by": ["ada"],
            "without_preauthentication": [],
            "weak_logins": [],
        }
        return judgement.ticket_signs(citation({**seen, **changes}))

    assert found(2) == []
    assert score(found(3)) < SUSPICIOUS_FROM <= score(found(9))
    assert score(found(0, without_preauthentication=["a"])) < SUSPICIOUS_FROM
    assert score(found(0, without_preauthentication=["a", "b", "c"])) >= SUSPICIOUS_FROM
    weak, strong_too = ({"user": "ada", "strong_too": known} for known in (False, True))
    assert score(found(0, weak_logins=[weak])) < score(found(0, weak_logins=[strong_too])) < SUSPICIOUS_FROM


def test_what_is_new_to_an_account_needs_a_past() -> None:
    never, often = citation({"count": 0, "days": 0}), citation({"count": 20, "days": 9})
    assert judgement.is_settled(often.result)
    assert not judgement.is_settled({"count": 90, "days": 1})
    assert not judgement.is_settled(None)
    past = citation({"count": 20, "days": 9, "values": {"10.0.0.9": 20}})
    outside = judgement.new_source_sign("ada", "91.0.0.1", True, past, never)
    inside = judgement.new_source_sign("ada", "10.0.0.7", False, past, never)
    assert outside is not None
    assert inside is not None
    assert outside.weight > inside.weight
    assert outside.claim.endswith('in the month before, but from "10.0.0.9"')
    assert judgement.new_source_sign("ada", "91.0.0.1", True, past, often) is None
    assert judgement.new_host_sign("ada", "web01", often) is None


def parsed(item: Any) -> Mapping[str, Any]:
    """The compact event that the siem makes of an item."""
    [found] = parse_items([item], source="s", received_at=datetime(2026, 11, 22, 3, tzinfo=UTC))
    assert not isinstance(found, Rejected)
    return {"log_id": "l", "timestamp": "2026-11-22T02:00:00.000Z", "dataset": found.dataset, "ecs": found.ecs}


def windows(number: int, **data: str) -> dict[str, Any]:
    return {
        "EventID": number, "Channel": "Security", "Computer": "DC01", "TimeCreated": "2026-11-22T02:00:00Z",
        "ProviderName": "Microsoft-Windows-Security-Auditing", "SubjectUserName": "eve", **data,
    }  # fmt: skip


def directory(operation: str, **properties: Any) -> dict[str, Any]:
    return {
        "time": "2026-11-22T02:00:00Z", "operationName": operation, "category": "AuditLogs",
        "properties": {"initiatedBy": {"user": {"userPrincipalName": "eve@corp.example"}}, **properties},
    }  # fmt: skip


def okta(action: str) -> dict[str, Any]:
    return {
        "eventType": action,
        "published": "2026-11-22T02:00:00Z",
        "actor": {"alternateId": "eve"},
        "outcome": {"result": "SUCCESS"},
    }


_SYSLOG = "2026-11-22T02:00:00Z web01 "
_TELLING: list[tuple[str, Any]] = [
    ("joined-domain-admins", windows(4728, TargetUserName="Domain Admins", TargetSid="S-1-5-21-1-2-3-512")),
    ("joined-admin-group", windows(4732, TargetUserName="Administratoren", TargetSid="S-1-5-32-544")),
    ("account-created", windows(4720, TargetUserName="svc2")),
    ("account-named-like-a-computer", windows(4720, TargetUserName="WS99$")),
    ("password-reset", windows(4724, TargetUserName="ada")),
    ("preauthentication-off", windows(4738, TargetUserName="ada", UserAccountControl="%%2096")),
    ("audit-log-cleared", windows(1102)),
    ("new-credentials-logon", windows(4624, TargetUserName="ada", LogonType="9", LogonProcessName="seclogo")),
    ("second-root", _SYSLOG + "useradd[7]: new user: name=sync2, UID=0, GID=0, home=/root, shell=/bin/bash, from=none"),
    ("joined-admin-group", _SYSLOG + "usermod[7]: add 'bob' to group 'sudo'"),
    (
        "sudoers-edited",
        _SYSLOG + "sudo: bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/tee -a /etc/sudoers.d/bob",
    ),
    ("second-factors-reset", okta("user.mfa.factor.reset_all")),
    ("owner-reports-intruder", okta("user.account.report_suspicious_activity_by_enduser")),
    ("directory-administrator-made", directory("Add member to role")),
    ("conditional-access-weakened", directory("Delete conditional access policy")),
]


@pytest.mark.parametrize(("kind", "item"), _TELLING, ids=[f"{n}-{kind}" for n, (kind, _) in enumerate(_TELLING)])
def test_a_telling_change_gives_its_sign(kind: str, item: Any) -> None:
    found = ACCOUNT_FACTS.signs_of(parsed(item), citation({}))
    assert [sign.kind for sign in found] == [kind]
    assert found[0].claim.partition(":")[0] in {fact.text for fact in ACCOUNT_FACTS.facts}


@pytest.mark.parametrize(
    "item",
    [
        windows(4728, TargetUserName="Marketing", TargetSid="S-1-5-21-1-2-3-1112"),
        windows(4738, TargetUserName="ada", UserAccountControl="%%2089"),
        windows(4624, TargetUserName="ada", LogonType="3", LogonProcessName="Kerberos"),
        windows(4724, TargetUserName="WS01$"),
        _SYSLOG + "useradd[7]: new user: name=postgres, UID=110, GID=110, home=/var/lib/pg, shell=/usr/sbin/nologin",
        _SYSLOG + "usermod[7]: add 'bob' to group 'www-data'",
        _SYSLOG + "sudo: bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/cat /etc/sudoers",
        okta("user.session.start"),
        directory("Update user"),
    ],
    ids=[
        "team", "flag", "login", "computer", "service", "group", "reading sudoers", "session", "profile",
    ],
)  # fmt: skip
def test_an_ordinary_change_gives_none(item: Any) -> None:
    assert ACCOUNT_FACTS.signs_of(parsed(item), citation({})) == []


def seen(**ecs: Any) -> Seen:
    return Seen(event(**ecs), citation({}))


def test_subjects_are_people_and_their_sources_those_of_identity_events_first() -> None:
    logged_in = {
        "event.category": ["authentication"], "event.outcome": "success", "user.name": "Ada", "source.ip": "91.0.0.1",
        "host.name": "web01",
    }  # fmt: skip
    evidence = Evidence(
        events=[
            seen(**{"user.name": "SYSTEM"}),
            seen(**{"user.name": "bob", "source.ip": "127.0.0.1"}),
            seen(**logged_in),
        ],
        iocs=[Observable("user", "ada")],
    )
    about = subjects_of(evidence)
    assert about.users == ("Ada", "bob")
    assert about.sources == ("91.0.0.1",)
    assert about.logins == (Login("Ada", "91.0.0.1", "web01", public=True),)
    assert about.direct
    assert not about.windows


@pytest.mark.parametrize("nobody", ["SYSTEM", "WS01$", "DWM-1", "-", "", "system:node:a", "ANONYMOUS LOGON"])
def test_accounts_that_are_no_person_are_no_subject(nobody: str) -> None:
    assert subjects_of(Evidence(events=[seen(**{"user.name": nobody})])).users == ()


def test_names_that_an_attacker_chose_are_quoted() -> None:
    hostile = 'x"\u202e\x1b]0;benign'
    rows = [pair(20, before=20, user=hostile, source=hostile)]
    for sign in signs(pairs=rows, sources=[source(12, source=hostile, got_in=[hostile])]):
        assert not any(character in sign.claim for character in "\x1b\u202e")


def test_an_address_that_others_found_is_a_source_after_those_of_the_events() -> None:
    iocs = [Observable("ip", "203.0.113.9"), Observable("domain", "x.example"), Observable("ip", "127.0.0.1")]
    about = subjects_of(Evidence(events=[seen(**{"source.ip": "198.51.100.4"})], iocs=iocs))
    assert about.sources == ("198.51.100.4", "203.0.113.9")


def test_a_source_that_another_specialist_asked_about_is_left_to_it() -> None:
    iocs = [Observable("ip", "203.0.113.9")]
    about = subjects_of(Evidence(events=[seen(**{"source.ip": "198.51.100.4"})], iocs=iocs), ["203.0.113.9", "x"])
    assert (about.sources, about.told) == (("198.51.100.4",), ("203.0.113.9",))
