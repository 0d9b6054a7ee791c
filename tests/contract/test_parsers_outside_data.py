"""The parsers against logs and rules nobody here wrote: SigmaHQ's regression events and rules, OTRF's recordings.

The data lies beside the repository (`../shared/data`) where there is any; without it these tests skip. Archives are
read in place; nothing is unpacked to disk.
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from services.siem.event import Event
from services.siem.logs.parsers import Item, parse_items, read_items
from services.siem.logs.parsers.windows_logsource import SERVICES, SYSMON_CATEGORIES

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
RECEIVED = datetime(2027, 1, 1, tzinfo=UTC)
#: Categories of Windows rules that come from other channels than Sysmon's.
POWERSHELL = {"ps_module", "ps_script", "ps_classic_start", "ps_classic_provider_start", "ps_classic_script"}
KERNEL_FILE = {"file_access", "file_rename"}
#: Every how many-th recorded event is parsed, so that the suite stays quick.
STEP = 3
LOGSOURCE = re.compile(r"^logsource:\n((?:[ \t]+.*\n|[ \t]*#.*\n)+)", re.MULTILINE)
PART = re.compile(r"^\s+(product|category|service): ['\"]?([^'\"#\n]+?)['\"]?\s*(?:#.*)?$", re.MULTILINE)
RULE_ID = re.compile(r"^id: ([0-9a-f-]{36})", re.MULTILINE)


def members(archive: str, suffix: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of an archive that end in `suffix`."""
    path = DATA / archive
    if not path.is_file():
        pytest.skip(f"../shared/data/{archive} isn't here")
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(suffix) and (file := tar.extractfile(member)) is not None:
                yield PurePosixPath(member.name), file.read()


@pytest.fixture(scope="module")
def logsources() -> dict[str, dict[str, str]]:
    """Rule id -> its logsource's parts, for every rule of the corpus."""
    found = {}
    for _, content in members("sigma-rules.tar.xz", ".yml"):
        text = content.decode()
        rule_id, block = RULE_ID.search(text), LOGSOURCE.search(text)
        if rule_id and block:
            found[rule_id[1]] = dict(PART.findall(block[1]))
    return found


def parsed(items: list[Item]) -> list[Event]:
    results = parse_items(items, source="outside", received_at=RECEIVED)
    taken = [result for result in results if isinstance(result, Event)]
    assert len(taken) == len(results), [result for result in results if not isinstance(result, Event)][:3]
    return taken


def recordings() -> Iterator[tuple[str, list[Item]]]:
    for path, content in members("security-datasets-dev.tar", ".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                if name.endswith((".json", ".log")) and not name.startswith("__MACOSX"):
                    media_type = "application/x-ndjson" if name.endswith(".json") else "text/plain"
                    yield path.stem, list(read_items(archive.read(name), media_type))


def test_recorded_events_are_parsed_with_their_own_time() -> None:
    count = 0
    for name, items in recordings():
        events = parsed(items[::STEP])
        count += len(events)
        assert {event.timestamp.year for event in events} <= {2020, 2021, 2022}, name
        assert all(event.dataset.startswith(("windows.", "auditd")) for event in events), name
        assert all(event.ecs.get("host.name") for event in events if event.dataset != "auditd"), name
    assert count > 60_000 // STEP


def test_every_regression_event_is_parsed_with_its_own_time() -> None:
    sets = 0
    for path, content in members("sigma-regression-dev.tar.xz", ".json"):
        for event in parsed(list(read_items(content, "application/json"))):
            assert event.timestamp < RECEIVED, path
            assert event.ecs["event.code"] == str(event.views[0].fields["EventID"])
        sets += 1
    assert sets > 100


def test_every_regression_set_has_an_event_of_its_rules_logsource(logsources: dict[str, dict[str, str]]) -> None:
    missed = []
    for path, content in members("sigma-regression-dev.tar.xz", (".json")):
        wanted = logsources[path.stem]
        views = [view for event in parsed(list(read_items(content, "application/json"))) for view in event.views]
        if not any(
            wanted.get("product") in (None, view.product)
            and wanted.get("category") in (None, view.category)
            and ("service" not in wanted or wanted["service"] in view.services)
            for view in views
        ):
            missed.append((path.stem, wanted))
    assert not missed


def test_every_windows_service_of_the_rules_is_in_the_table(logsources: dict[str, dict[str, str]]) -> None:
    wanted = {
        parts["service"]
        for parts in logsources.values()
        if parts.get("product") == "windows" and "service" in parts and "category" not in parts
    }
    known = {service for services in SERVICES.values() for service in services}
    assert len(wanted) > 30
    assert not wanted - known


def test_every_windows_category_of_the_rules_is_in_the_tables(logsources: dict[str, dict[str, str]]) -> None:
    wanted = {
        parts["category"] for parts in logsources.values() if parts.get("product") == "windows" and "category" in parts
    }
    known = {category for categories in SYSMON_CATEGORIES.values() for category in categories}
    assert len(wanted) > 20
    assert not wanted - known - POWERSHELL - KERNEL_FILE
