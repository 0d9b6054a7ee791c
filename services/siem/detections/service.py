"""The use-cases of detection rules: create one, import many, list, ship the built-in ones.

Compiling is pure and slow (some milliseconds a rule), so it runs in a thread. One bad rule never stops the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from services.siem.detections import store
from services.siem.detections.engine.compile import compile_rule
from services.siem.detections.engine.compiled import COMPILER_VERSION
from services.siem.detections.engine.document import split_documents
from services.siem.detections.store import Document, Origin
from shared.clock import utc_now
from shared.contracts.common import Page
from shared.contracts.detections import DetectionRule, ImportReport, RuleProblem, RuleQuery
from shared.errors import CONFLICT, MALFORMED_REQUEST, SIGMA_INVALID, AuroraError
from shared.log import get_logger
from shared.pages import decode_position, encode_position
from shared.postgres import Database, UniqueViolation

BUILTIN = Path(__file__).parent / "rules"
_CHUNK = 50
_log = get_logger("rules")


class RulesService:
    """Detection rules of the siem's schema."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, yaml_text: str) -> DetectionRule:
        """Stores one rule. Raises AURORA-4222 with the place, 4090 naming the rule that has this id already."""
        if len(split_documents(yaml_text)) > 1:
            message = "one document at a time; POST /api/v1/detections/rules/import takes several"
            raise AuroraError(SIGMA_INVALID, [{"message": message, "line": None, "path": None}])
        rule = await asyncio.to_thread(compile_rule, yaml_text)
        try:
            async with self._database.transaction() as connection:
                await store.lock(connection)
                return await store.insert(connection, Document(yaml_text, rule), "api", utc_now())
        except UniqueViolation:
            raise AuroraError(CONFLICT, {"rule_id": rule.id}, message="A rule with this id exists") from None

    async def list_rules(self, query: RuleQuery) -> Page[DetectionRule]:
        """A page, newest first."""
        rows = await store.page(self._database, query, decode_position(query.cursor))
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        total = await store.count(self._database)
        return Page([rule for _, rule in shown], encode_position(shown[-1][0]) if more else None, total)

    async def import_stream(self, text: str) -> ImportReport:
        """Stores each document of a YAML stream over a rule of the same id; reports what was refused, and why."""
        documents = split_documents(text)
        if not documents:
            raise AuroraError(MALFORMED_REQUEST, message="The body holds no YAML document")
        return await self._import(documents, "import")

    async def load_builtin(self) -> None:
        """Brings Aurora's own rules up to date. A rule that doesn't compile is a defect of the release: it raises."""
        files = sorted(BUILTIN.glob("*.yml"))
        report = await self._import([(1, file.read_text(encoding="utf-8")) for file in files], "builtin")
        for problem in report.errors:
            raise AuroraError(SIGMA_INVALID, [{"message": problem.message, "path": files[problem.index].name}])
        _log.info("built-in rules", created=report.created, updated=report.updated, unchanged=report.unchanged)

    async def _import(self, documents: Iterable[tuple[int, str]], origin: Origin) -> ImportReport:
        numbered = list(enumerate(documents))
        report = ImportReport(0, 0, 0, [], [])
        for start in range(0, len(numbered), _CHUNK):
            await self._import_chunk(numbered[start : start + _CHUNK], origin, report)
        return report

    async def _import_chunk(
        self, chunk: list[tuple[int, tuple[int, str]]], origin: Origin, report: ImportReport
    ) -> None:
        compiled = await asyncio.to_thread(_compile_all, chunk, report)
        async with self._database.transaction() as connection:
            await store.lock(connection)
            known = await store.known(connection, list(compiled))
            fresh = {
                identifier: document
                for identifier, document in compiled.items()
                if known.get(identifier) != (document.sigma, COMPILER_VERSION)
            }
            await store.upsert(connection, fresh.values(), origin, utc_now())
        report.updated += len(fresh.keys() & known.keys())
        report.created += len(fresh.keys() - known.keys())
        report.unchanged += len(compiled) - len(fresh)


def _compile_all(chunk: list[tuple[int, tuple[int, str]]], report: ImportReport) -> dict[str, Document]:
    compiled: dict[str, Document] = {}
    for index, (first_line, text) in chunk:
        try:
            rule = compile_rule(text)
        except AuroraError as error:
            report.errors += _problems(index, first_line, error)
            continue
        if rule.id in compiled:
            message = "another document of this import has the same id"
            report.errors.append(RuleProblem(index, message, first_line, rule.id, rule.title))
            continue
        if rule.problem is not None:
            report.unserved.append(RuleProblem(index, rule.problem, first_line, rule.id, rule.title))
        compiled[rule.id] = Document(text, rule)
    return compiled


def _problems(index: int, first_line: int, error: AuroraError) -> list[RuleProblem]:
    # What belongs to no line in particular is told of the document's first, so that it can always be found.
    return [RuleProblem(index, place["message"], first_line + (place["line"] or 1) - 1) for place in error.detail]
