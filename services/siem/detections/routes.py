"""The HTTP edge of detection rules."""

from __future__ import annotations

import msgspec
from aiohttp import hdrs, web

from services.siem.detections.service import RulesService
from services.siem.detections.store import Author
from shared.contracts.common import Page, PageQuery
from shared.contracts.detections import (
    CREATE_RULE,
    GET_RULE,
    IMPORT_RULES,
    LIST_RULES,
    UPDATE_RULE,
    DetectionRule,
    ImportReport,
    RuleDocument,
    RuleQuery,
    RuleUpdate,
)
from shared.contracts.rule_versions import (
    DIFF_RULE_VERSIONS,
    LIST_RULE_VERSIONS,
    ROLLBACK_RULE,
    RuleDiff,
    RuleDiffQuery,
    RuleRollback,
    RuleVersion,
)
from shared.contracts.wire import decode
from shared.errors import MALFORMED_REQUEST, NOT_FOUND, VALIDATION, AuroraError, field_error
from shared.http import Call, Route, bind, json_response
from shared.invalid import problem_of


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AuroraError(MALFORMED_REQUEST, message="The body is not UTF-8") from error


def _document(call: Call[None, bytes]) -> str:
    """The Sigma text of either form: YAML as it is, or `{"sigma": "..."}`."""
    if call.request.content_type != "application/json":
        return _text(call.body)
    try:
        return decode(call.body or b"{}", RuleDocument).sigma
    except msgspec.ValidationError as error:
        raise AuroraError(VALIDATION, [problem_of(error, "body")]) from error
    except msgspec.DecodeError as error:
        raise AuroraError(MALFORMED_REQUEST, message="The body is not valid JSON") from error


def _tagged(rule: DetectionRule) -> web.Response:
    """The rule, with the revision that `If-Match` takes."""
    response = json_response(rule)
    response.headers[hdrs.ETAG] = f'"{rule.revision}"'
    return response


def _expected(request: web.Request) -> int | None:
    """The revision of `If-Match`; None when any will do."""
    value = request.headers.get(hdrs.IF_MATCH, "*").strip()
    if value == "*":
        return None
    number = value.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit()):
        raise field_error("header.If-Match", 'must be the ETag of the rule, as in "17", or *')
    return int(number)


def _version(call: Call[RuleDiffQuery, None] | Call[None, RuleRollback]) -> int:
    text = call.path["version"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise AuroraError(NOT_FOUND)
    return int(text)


def routes(rules: RulesService) -> list[Route]:
    """Every rule endpoint, bound."""

    async def list_rules(call: Call[RuleQuery, None]) -> Page[DetectionRule]:
        return await rules.list_rules(call.query)

    async def create(call: Call[None, bytes]) -> DetectionRule:
        return await rules.create(_document(call), Author(call.principal.name))

    async def import_rules(call: Call[None, bytes]) -> ImportReport:
        return await rules.import_stream(_text(call.body), Author(call.principal.name))

    async def get(call: Call[None, None]) -> web.StreamResponse:
        return _tagged(await rules.get(call.path["rule_id"]))

    async def update(call: Call[None, RuleUpdate]) -> web.StreamResponse:
        author = Author(call.principal.name, call.body.reason)
        return _tagged(await rules.update(call.path["rule_id"], call.body, author, revision=_expected(call.request)))

    async def versions(call: Call[PageQuery, None]) -> Page[RuleVersion]:
        return await rules.versions(call.path["rule_id"], call.query)

    async def diff(call: Call[RuleDiffQuery, None]) -> RuleDiff:
        return await rules.diff(call.path["rule_id"], _version(call), call.query.against)

    async def rollback(call: Call[None, RuleRollback]) -> DetectionRule:
        author = Author(call.principal.name, call.body.reason)
        return await rules.rollback(call.path["rule_id"], _version(call), author)

    return [
        bind(LIST_RULES, list_rules),
        bind(CREATE_RULE, create),
        bind(IMPORT_RULES, import_rules),
        bind(GET_RULE, get),
        bind(UPDATE_RULE, update),
        bind(LIST_RULE_VERSIONS, versions),
        bind(DIFF_RULE_VERSIONS, diff),
        bind(ROLLBACK_RULE, rollback),
    ]
