"""The search language: text to a tree (`parse`), a tree to bound SQL (`condition`). Runs nothing."""

from services.siem.logs.query.nodes import And, Node, Not, Or, Range, Term
from services.siem.logs.query.parser import MAX_DEPTH, MAX_TERMS, parse
from services.siem.logs.query.sql import Binder, condition, slow_forms, value_of

__all__ = [
    "MAX_DEPTH",
    "MAX_TERMS",
    "And",
    "Binder",
    "Node",
    "Not",
    "Or",
    "Range",
    "Term",
    "condition",
    "parse",
    "slow_forms",
    "value_of",
]
