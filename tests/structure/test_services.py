"""Sibling folders look the same: what a service, a feature and a specialist consist of."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from services.__main__ import SERVICES
from tests.structure.source_tree import ROOT, Function, listed, name_of, nodes_of, tree_of

#: Services that have a README and nothing else yet.
PLANNED = ("edr", "soar")
HEADINGS = ("Purpose", "Owns", "Emits", "Listens", "Calls")
README_LINES = 60

SERVICE_FILES = {"app.py", "settings.py", "README.md", "migrations"}
FEATURE_FILES = {"routes.py", "events.py", "rpc.py", "service.py", "store.py", "domain.py"}
IMPURE = {"asyncio", "os", "pathlib", "random", "secrets", "socket", "subprocess", "time", "uuid", "uuid_utils"}

#: What a service or a feature has beside these, and why. An entry that is gone must leave this table.
DECLARED: dict[str, str] = {
    "siem/event.py": "the parsed event: made by logs, read by detections",
    "siem/batch.py": "what logs hands to detections",
    "siem/match.py": "what evaluation hands to alerts, suppressions and correlations",
    "siem/compiling.py": "how features have a rule's text compiled",
    "siem/evaluate.py": "events held against an engine",
    "siem/bounds.py": "how much of a body intake and the doors decode",
    "siem/frames.py": "what siem and the processes beside it say to one another",
    "siem/processes.py": "the processes that parse, encode and evaluate, as siem sees them",
    "siem/processing.py": "such a process from inside",
    "siem/past.py": "stored events read again for one rule, within bounds",
    "siem/past_engine.py": "rules held against many stored rows, in processes of their own",
    "siem/rule_tests.py": "the tests inside a rule: pure",
    "siem/draft.py": "what detections hands to alerts",
    "siem/hit.py": "what correlations hand to detections",
    "siem/correlations/measures.py": "what is known of a window while it moves: pure",
    "siem/correlations/firing.py": "what windows that fire come to: pure",
    "siem/correlations/settling.py": "the loop that reads windows once they are complete",
    "siem/clickhouse": "numbered .sql of the log tables",
    "siem/doors/streams.py": "labelled records on their way to intake, of Loki and OpenTelemetry",
    "siem/doors/elasticsearch.py": "the wire forms of Elasticsearch",
    "siem/doors/loki.py": "the wire forms of Loki's push",
    "siem/doors/otlp.py": "the wire forms of OTLP logs",
    "siem/doors/splunk.py": "the wire forms of Splunk's HTTP Event Collector",
    "siem/syslog/listeners.py": "the sockets of syslog",
    "siem/hunts/runs.py": "the workers and the clock of hunts",
    "siem/hunts/sigma.py": "a Sigma rule over the stored past",
    "siem/intel/formats": "one file per format of imported intelligence: pure",
    "siem/logs/rows.py": "an event as a row of the log table: pure",
    "siem/logs/preparation.py": "what was received as rows, and back: the CPU work of intake",
    "siem/logs/writer.py": "group commit between intake and the store",
    "siem/logs/search.py": "the use-case of search, apart from intake",
    "siem/logs/query": "the search language: text to a tree to bound SQL, pure",
    "siem/logs/parsers": "one file per log format",
    "siem/detections/engine": "the streaming Sigma engine: pure code",
    "siem/detections/evaluation.py": "the loop that evaluates stored batches",
    "siem/detections/rules": "the rules Aurora brings along",
    "siem/runs/worker.py": "reads a range page by page, evaluates and commits it",
    "orchestrator/investigations/subject.py": "what is kept of an alert, for planning and reports: pure",
    "orchestrator/investigations/relevance.py": "which evidence calls for which specialist: data",
    "orchestrator/investigations/rounds.py": "stored steps read as rounds: pure",
    "orchestrator/investigations/looks.py": "which alerts a round looks at and which rounds count: pure",
    "orchestrator/investigations/merging.py": "votes become a verdict: pure",
    "orchestrator/investigations/closing.py": "what those hear who come after the votes: pure",
    "orchestrator/investigations/decisions.py": "parked, resumed, cancelled: apart from how one comes about",
    "orchestrator/investigations/opinion.py": "the port for a second opinion on severity",
    "orchestrator/investigations/queue_store.py": "the SQL of leases and rounds, apart from what people see",
    "orchestrator/investigations/telling.py": "what the orchestrator does, told to those who watch",
    "gateway/journal.py": "the port to the audit log that every feature is given",
    "gateway/origin.py": "where a request comes from: set by admission, kept by audit",
    "gateway/admission/sign_ins.py": "the throttle of sign-ins, apart from the limits on requests",
    "gateway/callers.py": "the ways a request says who calls, in their order",
    "gateway/cookie.py": "the session cookie: set by whoever signs a browser in",
    "gateway/accounts/passwords.py": "the threads that hash and check passwords",
    "gateway/accounts/changes.py": "what ends sessions and keys, apart from signing in",
    "gateway/sessions/browsers.py": "sessions that live by a cookie",
    "gateway/keys/checked.py": "keys that were checked, read again twice a second",
    "gateway/sessions/tokens.py": "access tokens: signed, read, remembered",
    "gateway/federated.py": "what OIDC and SAML hand to federation, and what comes of it",
    "gateway/browser.py": "the cookie that binds a sign-in elsewhere to its browser: of OIDC and SAML",
    "gateway/arrival.py": "the end of a sign-in elsewhere: tokens for a program, a cookie for a browser",
    "gateway/oidc/provider.py": "one OIDC provider over the network: its description, keys and tokens",
    "gateway/oidc/tokens.py": "signatures of ID tokens: the only importer of joserfc",
    "gateway/saml/providers.py": "the configured identity providers, for python3-saml",
    "gateway/saml/response.py": "from posted XML to what was signed",
    "gateway/description/page.html": "the page that shows the OpenAPI document",
    "gateway/description/schemas.py": "JSON Schema of the contracts' types: pure",
    "gateway/description/responses.py": "answers and refusals of an endpoint: pure",
    "gateway/description/links.py": "which operations go on from another: pure",
    "gateway/description/examples.py": "the description's examples: data",
    "gateway/cloud/assembly.py": "which cloud providers the settings name",
    "gateway/cloud/ports.py": "what cloud sign-in asks of other features",
    "gateway/cloud/google.py": "Google's wire forms",
    "gateway/cloud/aws.py": "the wire forms of AWS STS",
    "gateway/cloud/azure.py": "the wire forms of Azure's login",
    "gateway/cloud/revocations.py": "the loop that has credentials voided",
    "orchestrator/handoffs.py": "what investigations hand to dispatch and get back",
    "orchestrator/investigations/work.py": "the workers that lease investigations and run their steps",
    "agents/mcp/hosting.py": "an ASGI application behind a handler of ours",
    "agents/mcp/server.py": "the tools in the types of the protocol: the only importer of mcp",
    "agents/toolkit": "typed, recorded tools that every specialist may use",
    "agents/roster": "one folder per specialist",
}

SERVICES_FOLDER = ROOT / "services"


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if entry.name not in {"__pycache__", "__init__.py"}]


def _declared(entry: Path) -> bool:
    return entry.relative_to(SERVICES_FOLDER).as_posix() in DECLARED


def _features(service: str) -> list[Path]:
    folders = [entry for entry in _entries(SERVICES_FOLDER / service) if entry.is_dir()]
    return [folder for folder in folders if folder.name not in SERVICE_FILES and not _declared(folder)]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_in_its_composition_root(service: str) -> None:
    app = SERVICES_FOLDER / service / "app.py"
    assert app.exists(), f"add services/{service}/app.py with `async def start(platform: Platform) -> None`"
    starts = [node for node in tree_of(app).body if isinstance(node, Function) and node.name == "start"]
    assert [type(node) for node in starts] == [ast.AsyncFunctionDef], f"services/{service}/app.py needs one async start"
    assert [argument.arg for argument in starts[0].args.args] == ["platform"], f"start(platform) in services/{service}"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_declares_its_settings(service: str) -> None:
    assert (SERVICES_FOLDER / service / "settings.py").exists(), (
        f"add services/{service}/settings.py with a frozen dataclass; each field says unit, default and why"
    )


@pytest.mark.parametrize("service", SERVICES)
def test_a_readme_says_on_one_screen_what_a_service_does(service: str) -> None:
    readme = SERVICES_FOLDER / service / "README.md"
    assert readme.exists(), f"add services/{service}/README.md with the headings {', '.join(HEADINGS)}"
    text = readme.read_text()
    found = re.findall(r"^(?:## |\*\*)(\w+)\.?", text, re.MULTILINE)
    missing = [heading for heading in HEADINGS if heading not in found]
    assert not missing, f"services/{service}/README.md lacks {missing}, each as `## Name` or `**Name.**`"
    assert len(text.splitlines()) <= README_LINES, f"services/{service}/README.md is longer than one screen"


@pytest.mark.parametrize("service", PLANNED)
def test_a_planned_service_says_that_nothing_runs_yet(service: str) -> None:
    assert [entry.name for entry in _entries(SERVICES_FOLDER / service)] == ["README.md"], (
        f"services/{service} has code now: move it from PLANNED to services.__main__.SERVICES"
    )
    assert "Nothing runs here yet" in (SERVICES_FOLDER / service / "README.md").read_text()


def test_every_folder_is_a_service_that_runs_or_is_planned() -> None:
    folders = {entry.name for entry in _entries(SERVICES_FOLDER) if entry.is_dir()}
    assert folders == {*SERVICES, *PLANNED}, "list it in services.__main__.SERVICES"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_holds_features_and_nothing_vague(service: str) -> None:
    entries = [e for e in _entries(SERVICES_FOLDER / service) if e.name not in SERVICE_FILES and not _declared(e)]
    stray = [name_of(entry) for entry in entries if not entry.is_dir()]
    assert not stray, listed(stray, "Move it into the feature that owns it, or declare it above with a reason.")


@pytest.mark.parametrize("service", SERVICES)
def test_features_look_alike(service: str) -> None:
    entries = [entry for feature in _features(service) for entry in _entries(feature)]
    stray = [name_of(entry) for entry in entries if entry.name not in FEATURE_FILES and not _declared(entry)]
    assert not stray, listed(stray, f"A feature has {', '.join(sorted(FEATURE_FILES))}; declare more with a reason.")


def test_domain_rules_are_pure() -> None:
    """No I/O, no clock, no randomness: the caller passes in what they decide on."""
    impure = []
    for path in SERVICES_FOLDER.rglob("domain.py"):
        for node in nodes_of(path):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            impure += [f"{name_of(path)}: {name}" for name in names if name.split(".")[0] in IMPURE]
    assert not impure, listed(impure, "Take times, ids and settings as arguments; do I/O in service.py and store.py.")


_NO_CODE = {"knowledge", "README.md"}


def test_specialists_look_alike() -> None:
    """agent.py, beside it what this specialist alone reasons with, knowledge/ for its data, and a README."""
    specialists = [entry for entry in _entries(SERVICES_FOLDER / "agents" / "roster") if entry.is_dir()]
    assert specialists, "services/agents/roster holds one folder per specialist"
    needed = [folder / name for folder in specialists for name in ("agent.py", "README.md")]
    without = [name_of(path) for path in needed if not path.exists()]
    assert not without, listed(without, "A specialist is served by its agent.py; its README says what it looks at.")
    entries = [entry for folder in specialists for entry in _entries(folder)]
    stray = [name_of(entry) for entry in entries if entry.suffix != ".py" and entry.name not in _NO_CODE]
    assert not stray, listed(stray, "Data of a specialist belongs into its knowledge/ folder.")


def test_every_declared_extra_exists() -> None:
    gone = [name for name in DECLARED if not (SERVICES_FOLDER / name).exists()]
    assert not gone, listed(gone, "Take it out of DECLARED.")
