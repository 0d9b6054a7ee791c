"""The HTTP edge of detection rules."""

from __future__ import annotations

import msgspec

from services.siem.detections.service import RulesService
from shared.contracts.common import Page
from shared.contracts.detections import (
    CREATE_RULE,
    IMPORT_RULES,
    LIST_RULES,
    DetectionRule,
    ImportReport,
    RuleDocument,
    RuleQuery,
)
from shared.contracts.wire import decode
from shared.errors import MALFORMED_REQUEST, VALIDATION, AuroraError
from shared.http import Call, Route, bind, problem_of


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


def routes(rules: RulesService) -> list[Route]:
    """Every rule endpoint, bound."""

    async def list_rules(call: Call[RuleQuery, None]) -> Page[DetectionRule]:
        return await rules.list_rules(call.query)

    async def create(call: Call[None, bytes]) -> DetectionRule:
        return await rules.create(_document(call))

    async def import_rules(call: Call[None, bytes]) -> ImportReport:
        return await rules.import_stream(_text(call.body))

    return [bind(LIST_RULES, list_rules), bind(CREATE_RULE, create), bind(IMPORT_RULES, import_rules)]
