"""The requirement ledger is complete, and what it calls done is held in place by tests that exist."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from shared.contracts.catalog import ENDPOINTS
from shared.contracts.doors_elasticsearch import ELASTICSEARCH
from shared.contracts.doors_splunk import SPLUNK
from tests.contract.requirements import ENDPOINT_ROWS, REQUIREMENTS
from tests.structure.source_tree import ROOT, ids_of_tests, listed

#: The pages are kept beside the repository, not in it.
PAGES = ROOT.parent / "shared" / "spec"
SOC, RCA, DECISIONS = "002_8cef9665ce61219c.txt", "000_1e177221fc1b21b9.txt", "DECISIONS.md"

#: Endpoints that neither page has, and what asks for them.
BESIDE_THE_PAGES = {
    "/.well-known/jwks.json": "DECISIONS, Identity: the keys of access tokens",
    "/api/v1/openapi.json": "the description that every client is generated from",
    "/api/v1/docs": "the same, as a page",
    "/api/v1/users/me": "issue 4: self-service profile",
    "/api/v1/users/me/password": "issue 4: and password change",
    "/api/v1/users/{username}": "issue 4: disabling users",
    "/api/v1/users/{username}/password": "issue 4: an administrator sets a password",
    "/api/v1/auth/sessions": "issue 4: a user's sessions",
    "/api/v1/auth/sessions/{session_id}": "issue 4: and the end of one",
    "/api/v1/auth/saml/metadata": "issue 4, SAML: the SP metadata endpoint",
    "/api/v1/ws/tickets": "browsers can't send Authorization in a WebSocket handshake",
    "/api/v1/siem/logs/upload": "issue 3, Intake: EVTX and JSON file upload",
    "/loki/api/v1/push": "issue 3, Intake: Loki's clients as they are",
    **{endpoint.path: "issue 3, Intake: Elasticsearch's clients as they are" for endpoint in ELASTICSEARCH},
    **{endpoint.path: "issue 3, Intake: clients of Splunk's HEC as they are" for endpoint in SPLUNK},
    "/v1/logs": "issue 3, Intake: OTLP/HTTP exporters as they are",
    "/api/v1/detections/rules/{rule_id}": "issue 3, Detections: a rule is shown with its ETag",
    "/api/v1/detections/rules/{rule_id}/versions": "issue 3, Detections: rule versions",
    "/api/v1/detections/rules/{rule_id}/versions/{version}/diff": "issue 3, Detections: rule versions with diff",
    "/api/v1/detections/rules/{rule_id}/versions/{version}/rollback": "issue 3, Detections: and rollback",
    "/api/v1/detections/rules/{rule_id}/suppressions/preview": "issue 3, Detections: a preview over 30 days",
    "/api/v1/detections/rules/{rule_id}/suppressions/{suppression_id}": "issue 3, Detections: a suppression ends",
    "/api/v1/detections/rules/{rule_id}/suppressions/{suppression_id}/matches": "issue 3: what a suppression hid",
    "/api/v1/detections/rules/{rule_id}/explain": "issue 3, Detections: why a rule did or did not match",
    "/api/v1/detections/attack-coverage": "issue 3, Detections: a technique counts only where its rules can work",
    "/api/v1/intel/import": "issue 5, The roster: imported intelligence (STIX 2.1, MISP JSON, CSV)",
    "/api/v1/intel/indicators": "issue 5, The roster: what was imported",
    "/api/v1/intel/vulnerabilities": "issue 5, The roster: what the vulnerability analyst asks",
    "/api/v1/intel/lookup": "issue 5, The roster: look IOCs up in imported intelligence",
    "/api/v1/intel/sources": "issue 5, The roster: where intelligence comes from",
    "/api/v1/intel/sources/{name}": "issue 5, The roster: and how it is forgotten",
    "/api/v1/samples": "issue 5, The roster: static triage of stored bytes",
    "/api/v1/samples/{sha256}": "issue 5, The roster: and what it found",
    "/mcp": "issue 5, The orchestrator: the MCP server",
    "/api/v1/agents": "issue 5, The protocol: agents come and go at run time; who is there, and which version",
    "/api/v1/investigations/{investigation_id}/replay": "issue 5, The orchestrator: `aurora replay INVESTIGATION`",
    "/api/v1/detections/placeholders": "issue 3, Detections: placeholders",
    "/api/v1/detections/placeholders/{name}": "issue 3, Detections: placeholders have values",
    "/api/v1/detections/placeholders/{name}/versions": "issue 3, Detections: and say who changed them",
    "/api/v1/detections/runs": "issue 3, Detections: all rules over a range",
    "/api/v1/detections/runs/{run_id}": "issue 3, Detections: runs are rows to look at",
    "/api/v1/detections/runs/{run_id}/cancel": "issue 3, Detections: runs can be cancelled",
    "/api/v1/detections/rules/{rule_id}/coverage": "issue 3, Detections: the coverage ledger",
    "/api/v1/siem/hunts/{hunt_id}/runs": "issue 3, Search and hunts: runs are rows",
    "/api/v1/siem/hunts/runs/{run_id}": "issue 3, Search and hunts: a run with its hits",
    "/api/v1/siem/hunts/runs/{run_id}/cancel": "issue 3, Search and hunts: runs are cancellable",
    "/api/v1/siem/sources/{name}": "issue 3, Intake: retention per source",
    "/api/v1/siem/dead-letters": "issue 3, Intake: a dead-letter store with reason",
    "/api/v1/siem/dead-letters/{dead_letter_id}/replay": "issue 3, Intake: and replay",
    "/api/v1/auth/api-keys/{key_id}/rotate": "issue 4, API keys: rotation",
    "/api/v1/health": "issue 4, Headers and versions: one really deprecated route",
    "/api/v1/investigations/{investigation_id}/park": "issue 5, The orchestrator: parked",
    "/api/v1/investigations/{investigation_id}/resume": "issue 5, The orchestrator: resumed",
    "/api/v1/investigations/{investigation_id}/cancel": "issue 5, The orchestrator: and cancelled investigations",
    "/api/v1/settings/runtime/history": "issue 4, Runtime settings: history",
    "/api/v1/audit": "issue 4, Audit log: for administrators",
    "/api/v1/detections/rules/import": "DECISIONS, Shapes: `aurora rules import`",
    "/api/gcp/status": "issue 4, Cloud sign-in: status for each provider",
    "/api/aws/connect": "issue 4, Cloud sign-in: the same family for AWS",
    "/api/aws/status": "issue 4, Cloud sign-in: the same family for AWS",
    "/api/aws/disconnect": "issue 4, Cloud sign-in: the same family for AWS",
    "/api/azure/connect": "issue 4, Cloud sign-in: the same family for Azure",
    "/api/azure/status": "issue 4, Cloud sign-in: the same family for Azure",
    "/api/azure/disconnect": "issue 4, Cloud sign-in: the same family for Azure",
}


def _page(name: str) -> str:
    page = PAGES / name
    if not page.exists():
        pytest.skip("the API pages are not beside this checkout (../shared/spec)")
    return page.read_text()


def _normal(path: str) -> str:
    """The RCA page writes `:session_id` where the contracts write `{session_id}`."""
    return re.sub(r":(\w+)", r"{\1}", path)


def test_every_requirement_has_an_id_of_its_own() -> None:
    twice = [name for name, count in Counter(row.id for row in REQUIREMENTS).items() if count > 1]
    assert not twice, listed(twice, "Ids are unique.")


def test_a_done_requirement_names_tests_that_exist() -> None:
    known = ids_of_tests()
    missing = [f"{row.id} -> {test}" for row in REQUIREMENTS for test in row.tests if test not in known]
    assert not missing, listed(missing, "Name an existing test as tests/<suite>/test_x.py::test_name.")


def test_an_endpoint_is_done_when_and_only_when_it_is_served() -> None:
    wrong = [
        f"{row.id}: {'served, but names no test' if served else 'names tests, but there is no Endpoint'}"
        for row in ENDPOINT_ROWS
        if (served := (row.method, row.path) in ENDPOINTS) != (row.status == "done")
    ]
    assert not wrong, listed(wrong, "Name the tests of a served endpoint in tests/contract/ledger_*.py.")


def test_an_endpoint_beside_the_pages_says_what_asks_for_it() -> None:
    on_pages = {(row.method, row.path) for row in ENDPOINT_ROWS}
    beside = {path for method, path in ENDPOINTS if (method, path) not in on_pages}
    assert beside == set(BESIDE_THE_PAGES)


def test_every_endpoint_of_the_soc_page_is_listed_word_for_word() -> None:
    table = re.findall(r"^\| (GET|POST|PUT|PATCH|DELETE|WS) \| (\S+) \| (.+?) \| (\S+) \|$", _page(SOC), re.MULTILINE)
    ours = [(row.method, row.path, row.text, row.permission) for row in ENDPOINT_ROWS if row.page == "SOC"]
    assert ours == table


def test_every_endpoint_of_the_rca_page_is_listed() -> None:
    found = re.findall(r"^(GET|POST|PUT|PATCH|DELETE) (/\S+)$", _page(RCA), re.MULTILINE)
    ours = {(row.method, row.path) for row in ENDPOINT_ROWS if row.page == "RCA"}
    assert ours == {(method, _normal(path)) for method, path in found}


def test_every_code_and_header_of_the_soc_page_is_listed() -> None:
    page = _page(SOC)
    codes = re.findall(r"^\| (AURORA-\d+) \| (\d+) \| (.+?) \|$", page, re.MULTILINE)
    headers = re.findall(r"^(X-[\w-]+|Deprecation|Sunset) \| ", page, re.MULTILINE)
    ours = {row.id: row.text for row in REQUIREMENTS}
    missing = [code for code, status, text in codes if ours.get(f"SOC Error codes: {code}") != f"{status} {text}"]
    missing += [name for name in headers if f"SOC API versioning headers: {name}" not in ours]
    assert (len(codes), len(headers)) == (20, 5)
    assert not missing, listed(missing, "Add the row to tests/contract/ledger_soc_protocol.py.")


def test_every_status_and_header_of_the_rca_page_is_listed() -> None:
    page = _page(RCA)
    ours = {row.id for row in REQUIREMENTS}
    missing = [code for code in re.findall(r"• (\d{3}) [A-Z]", page) if f"RCA Error Responses: {code}" not in ours]
    headers = set(re.findall(r"^(X-RateLimit-\w+):", page, re.MULTILINE))
    missing += [name for name in headers if f"RCA Rate Limiting: {name}" not in ours]
    assert len(headers) == 3
    assert not missing, listed(missing, "Add the row to tests/contract/ledger_rca.py.")


def test_every_bullet_of_the_decisions_is_listed() -> None:
    sections = re.split(r"^## ", _page(DECISIONS), flags=re.MULTILINE)[1:]
    bullets = {f"{title} {number}" for title, count in map(_bullets, sections) for number in range(1, count + 1)}
    ours = {row.where for row in REQUIREMENTS if row.page == "DECISIONS"} - {"Opening 1"}
    assert ours == bullets


def _bullets(section: str) -> tuple[str, int]:
    """The title without its aside, and the number of bullets; a section of plain text counts as one."""
    title, _, body = section.partition("\n")
    return title.split(" (")[0].strip(), len(re.findall(r"^- ", body, re.MULTILINE)) or 1
