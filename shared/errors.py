"""The AuroraError family and the one table of error codes (SOC page, "Error codes").

Every refusal in Aurora is an AuroraError; each edge (HTTP, JSON-RPC, CLI) turns it into its own wire form in one
place. The text of any other exception never reaches a peer. Codes the page doesn't have need an ADR.
"""

from __future__ import annotations

from typing import Any

from shared.contracts.constants import ErrorCode

AUTHENTICATION_REQUIRED = ErrorCode("AURORA-4010", 401, "Authentication required", -32011)
TOKEN_EXPIRED = ErrorCode("AURORA-4011", 401, "Token expired", -32011)
INVALID_CREDENTIALS = ErrorCode("AURORA-4012", 401, "Invalid credentials", -32011)
INSUFFICIENT_PERMISSIONS = ErrorCode("AURORA-4030", 403, "Insufficient permissions", -32012)
GUARDRAIL_DENIED = ErrorCode("AURORA-4031", 403, "Action denied by guardrail policy", -32012)
NOT_FOUND = ErrorCode("AURORA-4040", 404, "Resource not found", -32013)
CASE_NOT_FOUND = ErrorCode("AURORA-4041", 404, "Case not found", -32013)
ALERT_NOT_FOUND = ErrorCode("AURORA-4042", 404, "Alert not found", -32013)
AGENT_NOT_FOUND = ErrorCode("AURORA-4043", 404, "Agent not found", -32013)
APPROVAL_TIMED_OUT = ErrorCode("AURORA-4080", 408, "Human approval timed out", -32014)
CONFLICT = ErrorCode("AURORA-4090", 409, "Resource conflict", -32015)
DUPLICATE_ALERT = ErrorCode("AURORA-4091", 409, "Duplicate alert", -32015)
VALIDATION = ErrorCode("AURORA-4220", 422, "Validation error", -32602)
PLAYBOOK_INVALID = ErrorCode("AURORA-4221", 422, "Playbook validation failed", -32602)
SIGMA_INVALID = ErrorCode("AURORA-4222", 422, "Sigma rule validation failed", -32602)
RATE_LIMITED = ErrorCode("AURORA-4290", 429, "Rate limit exceeded", -32016, retryable=True)
INTERNAL = ErrorCode("AURORA-5000", 500, "Internal server error", -32603)
UNAVAILABLE = ErrorCode("AURORA-5030", 503, "Service temporarily unavailable", -32017, retryable=True)
INFERENCE_UNAVAILABLE = ErrorCode("AURORA-5031", 503, "LLM inference service unavailable", -32017, retryable=True)
CLICKHOUSE_UNAVAILABLE = ErrorCode("AURORA-5032", 503, "ClickHouse service unavailable", -32017, retryable=True)
# Not on the page; added by docs/adr/0002-error-codes.md for the statuses HTTP itself asks for.
MALFORMED_REQUEST = ErrorCode("AURORA-4000", 400, "Malformed request", -32600)
METHOD_NOT_ALLOWED = ErrorCode("AURORA-4050", 405, "Method not allowed", -32601)
PAYLOAD_TOO_LARGE = ErrorCode("AURORA-4130", 413, "Request body too large", -32018)
UNSUPPORTED_MEDIA_TYPE = ErrorCode("AURORA-4150", 415, "Unsupported media type", -32018)
DEADLINE_EXCEEDED = ErrorCode("AURORA-5040", 504, "Deadline exceeded", -32019, retryable=True)


class AuroraError(Exception):
    """A refusal that may be told to the caller.

    `code` is a row of the table; `detail` is JSON-ready data for the caller (field paths, the existing object's
    id, the place in a rule), never exception text; `message` replaces the row's own message where a more exact
    sentence helps. `retry_after` is in seconds.
    """

    def __init__(
        self,
        code: ErrorCode,
        detail: Any = None,
        *,
        message: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.code = code
        self.detail = detail
        self.message = message or code.message
        self.retry_after = retry_after
        super().__init__(f"{code.code} {self.message}")


def field_error(path: str, message: str) -> AuroraError:
    """A validation error that names one field: `detail` is `[{"path": ..., "message": ...}]` (AURORA-4220)."""
    return AuroraError(VALIDATION, [{"path": path, "message": message}])
