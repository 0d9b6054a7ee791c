"""The use-cases of detection rules: create, import, change, list, compare and bring back texts, ship the built-in ones.

Every text that is stored is a version of its rule; what is in force is decided here and nowhere else. Compiling is pure
and slow (some milliseconds a rule), so it runs in a thread. One bad rule never stops the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

from msgspec import UNSET

from services.siem.detections import store
from services.siem.detections.domain import unified_diff
from services.siem.detections.engine.compile import compile_rule
from services.siem.detections.engine.compiled import COMPILER_VERSION, CompiledRule, encode
from services.siem.detections.engine.document import invalid, split_documents
from services.siem.detections.engine.placeholders import NO_LISTS, Lists, may_have_placeholders
from services.siem.detections.store import Author, Document, Known, Origin
from shared.clock import utc_now
from shared.contracts.common import Page, PageQuery
from shared.contracts.detections import RULE_CHANGED, DetectionRule, ImportReport, RuleProblem, RuleQuery, RuleUpdate
from shared.contracts.rule_versions import RuleDiff, RuleVersion
from shared.errors import (
    CONFLICT,
    MALFORMED_REQUEST,
    NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    SIGMA_INVALID,
    AuroraError,
    field_error,
)
from shared.log import get_logger
from shared.outbox import Outbox
from shared.pages import decode_position, encode_position
from shared.postgres import Connection, Database, UniqueViolation

BUILTIN = Path(__file__).parent / "rules"
_CHUNK = 50
#: Of one import: five times as many as SigmaHQ has.
_MAX_DOCUMENTS = 20_000
_AURORA = Author("aurora")
#: Comparing takes time that grows with the lines; no rule of SigmaHQ has as many.
_MAX_DIFF_LINES = 10_000
#: Holds a compiled rule against the tests in its text. Raises AURORA-4222 naming the one that failed.
Check: TypeAlias = Callable[[CompiledRule, str], None]
_log = get_logger("rules")


class Placeholders(Protocol):
    """Where the values of placeholders are kept (the placeholders feature)."""

    async def read(self, connection: Connection | None = None) -> Lists:
        """Every list, in the caller's transaction if there is one."""


class RulesService:
    """Detection rules of the siem's schema. `check` runs the tests inside a rule; None leaves them aside."""

    def __init__(
        self,
        database: Database,
        check: Check | None = None,
        placeholders: Placeholders | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._database = database
        self._check = check
        self._placeholders = placeholders
        self._outbox = outbox

    @asynccontextmanager
    async def _changing(self, author: Author) -> AsyncIterator[Connection]:
        """A transaction that changes rules, with nobody beside it; each rule that did change is told of in it."""
        async with self._database.transaction() as connection:
            await store.lock(connection)
            before = await store.last_revision(connection)
            yield connection
            await self._tell(connection, before, author)

    async def _tell(self, connection: Connection, before: int, author: Author) -> None:
        if self._outbox is not None:
            for changed in await store.told_since(connection, before, author):
                await self._outbox.add(connection, RULE_CHANGED, changed)

    async def create(self, yaml_text: str, author: Author = _AURORA, *, enabled: bool = True) -> DetectionRule:
        """Stores one rule. Raises AURORA-4222 with the place, 4090 naming the rule that has this id already."""
        document = await asyncio.to_thread(self._compiled, _alone(yaml_text), await self._lists([yaml_text]))
        try:
            async with self._changing(author) as connection:
                [document] = await self._with_lists(connection, [document])
                return await store.insert(connection, document, "api", author, utc_now(), enabled=enabled)
        except UniqueViolation:
            detail = {"rule_id": document.rule.id}
            raise AuroraError(CONFLICT, detail, message="A rule with this id exists") from None

    async def add(self, sigma: str, who: str, reason: str) -> DetectionRule:
        """Stores a draft: a rule that is disabled. Raises as `create`."""
        return await self.create(sigma, Author(who, reason), enabled=False)

    async def get(self, identifier: str) -> DetectionRule:
        """One rule. Raises AURORA-4040."""
        rule = await store.find(self._database, identifier)
        if rule is None:
            raise _unknown(identifier)
        return rule

    async def update(
        self, identifier: str, change: RuleUpdate, author: Author, *, revision: int | None = None
    ) -> DetectionRule:
        """Enables or disables a rule, or gives it another text, or both.

        Raises AURORA-4040, 4222 for the text, and 4090 when `revision` isn't the one stored.
        """
        if change.sigma is UNSET and change.enabled is UNSET:
            raise field_error("body", "give `enabled` or `sigma`")
        await self.get(identifier)
        document = None
        if change.sigma is not UNSET:
            lists = await self._lists([change.sigma])
            document = await asyncio.to_thread(self._compiled, _alone(change.sigma), lists)
            if document.rule.id != identifier:
                raise invalid(f"the text must keep the rule's id: {identifier}", path="id")
        async with self._changing(author) as connection:
            current = await store.find(connection, identifier)
            if current is None:
                raise _unknown(identifier)
            if revision is not None and revision != current.revision:
                detail = {"rule_id": identifier, "revision": current.revision}
                raise AuroraError(CONFLICT, detail, message="The rule was changed meanwhile")
            if document is not None and document.sigma != current.sigma:
                documents = await self._with_lists(connection, [document])
                await store.upsert(connection, documents, "api", author, utc_now())
            if change.enabled is not UNSET:
                await store.set_enabled(connection, identifier, change.enabled, utc_now())
            changed = await store.find(connection, identifier)
        if changed is None:
            raise _unknown(identifier)
        _log.info("rule changed", rule=identifier, by=author.name, version=changed.version, enabled=changed.enabled)
        return changed

    async def versions(self, identifier: str, query: PageQuery) -> Page[RuleVersion]:
        """The texts of a rule, newest first. Raises AURORA-4040."""
        await self.get(identifier)
        rows = await store.versions(self._database, identifier, decode_position(query.cursor), query.limit + 1)
        shown = rows[: query.limit]
        return Page(shown, encode_position(shown[-1].version) if len(rows) > query.limit else None)

    async def diff(self, identifier: str, number: int, against: int | None) -> RuleDiff:
        """How the text changed. Raises AURORA-4040 for a version that never was, 4220 for texts too long to compare."""
        other = against if against is not None else number - 1
        new = await self._version(identifier, number)
        # Before the first text there was none.
        old = "" if other == 0 else (await self._version(identifier, other)).sigma
        if max(new.sigma.count("\n"), old.count("\n")) > _MAX_DIFF_LINES:
            raise field_error("path.version", f"texts of more than {_MAX_DIFF_LINES} lines are not compared")
        text = await asyncio.to_thread(unified_diff, old, new.sigma, f"version {other}", f"version {number}")
        return RuleDiff(rule_id=identifier, version=number, against=other, diff=text)

    async def rollback(self, identifier: str, number: int, author: Author) -> DetectionRule:
        """Makes a former text the newest version. Raises AURORA-4040, and 4222 if it doesn't pass any more."""
        former = await self._version(identifier, number)
        reason = author.reason or f"back to version {number}"
        return await self.update(identifier, RuleUpdate(sigma=former.sigma), Author(author.name, reason))

    async def _version(self, identifier: str, number: int) -> RuleVersion:
        found = await store.version(self._database, identifier, number)
        if found is None:
            raise AuroraError(NOT_FOUND, {"rule_id": identifier, "version": number})
        return found

    async def enabled(self) -> int:
        """How many rules are evaluated."""
        return await store.count_enabled(self._database)

    async def list_rules(self, query: RuleQuery) -> Page[DetectionRule]:
        """A page, newest first."""
        rows = await store.page(self._database, query, decode_position(query.cursor))
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        total = await store.count(self._database)
        return Page([rule for _, rule in shown], encode_position(shown[-1][0]) if more else None, total)

    async def import_stream(self, text: str, author: Author = _AURORA) -> ImportReport:
        """Stores each document of a YAML stream over a rule of the same id; reports what was refused, and why."""
        documents = split_documents(text)
        if not documents:
            raise AuroraError(MALFORMED_REQUEST, message="The body holds no YAML document")
        if len(documents) > _MAX_DOCUMENTS:
            raise AuroraError(PAYLOAD_TOO_LARGE, {"max_documents": _MAX_DOCUMENTS})
        return await self._import(documents, "import", author)

    async def load_builtin(self) -> None:
        """Brings Aurora's own rules up to date, but for those that somebody gave another text.

        A rule that doesn't compile is a defect of the release: it raises.
        """
        files = sorted(BUILTIN.glob("*.yml"))
        report = await self._import([(1, file.read_text(encoding="utf-8")) for file in files], "builtin", _AURORA)
        for problem in report.errors:
            raise AuroraError(SIGMA_INVALID, [{"message": problem.message, "path": files[problem.index].name}])
        _log.info("built-in rules", created=report.created, updated=report.updated, unchanged=report.unchanged)

    async def _import(self, documents: Iterable[tuple[int, str]], origin: Origin, author: Author) -> ImportReport:
        numbered = list(enumerate(documents))
        report = ImportReport(0, 0, 0, [], [])
        for start in range(0, len(numbered), _CHUNK):
            await self._import_chunk(numbered[start : start + _CHUNK], origin, author, report)
        return report

    async def _import_chunk(
        self, chunk: list[tuple[int, tuple[int, str]]], origin: Origin, author: Author, report: ImportReport
    ) -> None:
        lists = await self._lists([text for _, (_, text) in chunk])
        compiled = await asyncio.to_thread(self._compile_all, chunk, report, lists)
        async with self._changing(author) as connection:
            known = await store.known(connection, list(compiled))
            fresh = {
                identifier: document
                for identifier, document in compiled.items()
                if _is_news(document, origin, known.get(identifier))
            }
            documents = await self._with_lists(connection, list(fresh.values()))
            await store.upsert(connection, documents, origin, author, utc_now())
        report.updated += len(fresh.keys() & known.keys())
        report.created += len(fresh.keys() - known.keys())
        report.unchanged += len(compiled) - len(fresh)

    async def lock(self, connection: Connection) -> None:
        """Makes whoever stores a rule wait for the end of the caller's transaction."""
        await store.lock(connection)

    async def compile_again(self, connection: Connection) -> list[str]:
        """Compiles what may have placeholders with the lists of the caller's transaction; the ids of what is another
        rule now. Call `lock` first. The tests inside a rule aren't run: its text is the same."""
        before = await store.last_revision(connection)
        stored = await store.mentioning(connection, "expand")
        documents = [Document(item.sigma, item.rule) for item in stored]
        again = await self._with_lists(connection, documents)
        changed = [
            (item.origin, document)
            for item, document in zip(stored, again, strict=True)
            if encode(document.rule) != encode(item.rule)
        ]
        for origin in {origin for origin, _ in changed}:
            documents = [document for other, document in changed if other == origin]
            await store.upsert(connection, documents, origin, _AURORA, utc_now())
        await self._tell(connection, before, Author(_AURORA.name, "a placeholder changed"))
        return [document.rule.id for _, document in changed]

    async def _lists(self, texts: Iterable[str], connection: Connection | None = None) -> Lists:
        if self._placeholders is None or not any(map(may_have_placeholders, texts)):
            return NO_LISTS
        return await self._placeholders.read(connection)

    async def _with_lists(self, connection: Connection, documents: Sequence[Document]) -> Sequence[Document]:
        """What has placeholders compiled with the lists in force: they may have changed before the lock was had."""
        wanted = [document for document in documents if may_have_placeholders(document.sigma)]
        if not wanted:
            return documents
        lists = await self._lists([document.sigma for document in wanted], connection)
        again = {document.rule.id: await asyncio.to_thread(compile_rule, document.sigma, lists) for document in wanted}
        return [Document(item.sigma, again.get(item.rule.id, item.rule)) for item in documents]

    def _compiled(self, text: str, lists: Lists) -> Document:
        rule = compile_rule(text, lists)
        if self._check is not None:
            self._check(rule, text)
        return Document(text, rule)

    def _compile_all(
        self, chunk: list[tuple[int, tuple[int, str]]], report: ImportReport, lists: Lists
    ) -> dict[str, Document]:
        compiled: dict[str, Document] = {}
        for index, (first_line, text) in chunk:
            try:
                document = self._compiled(text, lists)
            except AuroraError as error:
                report.errors += _problems(index, first_line, error)
                continue
            rule = document.rule
            if rule.id in compiled:
                message = "another document of this import has the same id"
                report.errors.append(RuleProblem(index, message, first_line, rule.id, rule.title))
                continue
            if rule.problem is not None:
                report.unserved.append(RuleProblem(index, rule.problem, first_line, rule.id, rule.title))
            compiled[rule.id] = document
        return compiled


def _alone(yaml_text: str) -> str:
    if len(split_documents(yaml_text)) > 1:
        raise invalid("one document at a time; POST /api/v1/detections/rules/import takes several")
    return yaml_text


def _is_news(document: Document, origin: Origin, stored: Known | None) -> bool:
    if stored is None:
        return True
    if origin == "builtin" and stored.origin != "builtin":
        # Somebody's own text stays in force when a release brings another.
        return False
    return (stored.sigma, stored.compiler_version) != (document.sigma, COMPILER_VERSION)


def _unknown(identifier: str) -> AuroraError:
    return AuroraError(NOT_FOUND, {"rule_id": identifier})


def _problems(index: int, first_line: int, error: AuroraError) -> list[RuleProblem]:
    # What belongs to no line in particular is told of the document's first, so that it can always be found.
    return [RuleProblem(index, place["message"], first_line + (place["line"] or 1) - 1) for place in error.detail]
