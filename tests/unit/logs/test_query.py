"""The search language: what is a field, a word, a range and a group, and what can't be read."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.siem.logs.query import (
    MAX_DEPTH,
    MAX_TERMS,
    And,
    Binder,
    Node,
    Not,
    Or,
    Range,
    Term,
    condition,
    parse,
    slow_forms,
)
from shared.contracts.logs import log_term
from shared.errors import VALIDATION, AuroraError

A, B, C = (Term(None, (letter,)) for letter in "abc")
ROOT = Term("user.name", ("root",))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("  curl   wget ", [Term(None, ("curl",)), Term(None, ("wget",))]),
        ("user.name:root", [ROOT]),
        ("user.name: root", [ROOT]),
        ("user.name:ro*t", [Term("user.name", ("ro", "t"))]),
        ("user.name:*", [Term("user.name", ("", ""))]),
        ('process.command_line:"curl * sh"', [Term("process.command_line", ("curl ", " sh"))]),
        ('"two words"', [Term(None, ("two words",))]),
        (r'message:"say \"hi\""', [Term("message", ('say "hi"',))]),
        (r"file.path:C:\Windows\System32\*", [Term("file.path", (r"C:\Windows\System32*",))]),
        (r"file.path:C:\Windows\\*", [Term("file.path", ("C:\\Windows\\", ""))]),
        (r"a\*b", [Term(None, ("a*b",))]),
        ("file.path:/etc/shadow", [Term("file.path", ("/etc/shadow",))]),
        ("https://example.org/a?b=c", [Term(None, ("https://example.org/a?b=c",))]),
        (r"C:\Windows", [Term(None, (r"C:\Windows",))]),
        ("fe80::1", [Term(None, ("fe80::1",))]),
        ("source.ip:fe80::1", [Term("source.ip", ("fe80::1",))]),
        ("12:30:00", [Term(None, ("12:30:00",))]),
        ("id:0190-abc", [Term("id", ("0190-abc",))]),
        ('host.name:""', [Term("host.name", ("",))]),
        ("cat>file 2>&1 a=b", [Term(None, (word,)) for word in ("cat>file", "2>&1", "a=b")]),
        ("event.action:not", [Term("event.action", ("not",))]),
        ('"and" "OR"', [Term(None, ("and",)), Term(None, ("OR",))]),
        ("android north", [Term(None, ("android",)), Term(None, ("north",))]),
    ],
)
def test_adjacent_terms_must_all_match(text: str, terms: list[Term]) -> None:
    assert parse(text) == (terms[0] if len(terms) == 1 else And(tuple(terms)))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a or b", Or((A, B))),
        ("a AND b Or c", Or((And((A, B)), C))),
        ("a b or c", Or((And((A, B)), C))),
        ("a (b or c)", And((A, Or((B, C))))),
        ("not a b", And((Not(A), B))),
        ("NOT (a or b)", Not(Or((A, B)))),
        ("not not a", Not(Not(A))),
        ("((a))", A),
        ("user.name:(root or bob)", Or((ROOT, Term("user.name", ("bob",))))),
        ("user.name: (not root)", Not(ROOT)),
        (
            "source.ip:(fe80::1 or 192.0.2.*)",
            Or((Term("source.ip", ("fe80::1",)), Term("source.ip", ("192.0.2.", "")))),
        ),
        ("source.port >= 1024", Range("source.port", ">=", 1024.0)),
        ("source.port<-1.5", Range("source.port", "<", -1.5)),
        ("count > 5", Range("count", ">", 5.0)),
        ("source.ip > 10.0.0.1", Range("source.ip", ">", ip_address("10.0.0.1"))),
        ("@timestamp<2026-03-01", Range("@timestamp", "<", datetime(2026, 3, 1, tzinfo=UTC))),
        ("file.mtime >= 2026-03-01T12:00:00Z", Range("file.mtime", ">=", datetime(2026, 3, 1, 12, tzinfo=UTC))),
    ],
)
def test_terms_are_combined_as_in_kql(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "character", "complaint"),
    [
        ("user.name:", 1, "user.name needs a value"),
        ("a user.name: or b", 3, "user.name needs a value"),
        ('"open', 1, "quote"),
        ('a "b"c', 3, "quote"),
        ('a"b"', 2, "quote"),
        ("f(x)", 2, "quotes"),
        ("(a", 1, "isn't closed"),
        ("a)", 2, "never opened"),
        ("()", 2, "a term is missing"),
        ("a or", 5, "a term is missing"),
        ("and a", 1, "a term is missing"),
        ("user.name:(a b.c:d)", 14, "only values"),
        ("source.port > many", 15, "a number, a time or an address"),
        ("@timestamp > 5", 14, "a time"),
        ("> 5", 1, "needs a field"),
        (" ".join(["x"] * (MAX_TERMS + 1)), 2 * MAX_TERMS + 1, f"at most {MAX_TERMS} terms"),
        ("(" * 5000, MAX_DEPTH + 2, f"at most {MAX_DEPTH} levels"),
        ("not " * 2000, 4 * MAX_DEPTH + 5, f"at most {MAX_DEPTH} levels"),
        ("user.name:" + "(" * 5000, 10 + MAX_DEPTH + 2, f"at most {MAX_DEPTH} levels"),
    ],
)
def test_a_search_that_cannot_be_read_says_where(text: str, character: int, complaint: str) -> None:
    with pytest.raises(AuroraError) as refused:
        parse(text)
    assert refused.value.code is VALIDATION
    [problem] = refused.value.detail
    assert problem["path"] == "query.q"
    assert problem["message"].startswith(f"at character {character}:")
    assert complaint in problem["message"]
    stands = "".join(text[character - 1 : character + 39].split(" ")[:1]) or "the end"
    assert problem["message"].endswith(f"(here: {stands})")


@given(st.text(max_size=200) | st.text('ab.:*"\\()<>= andort1', max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(AuroraError):
        tree = parse(text)
        condition(tree, Binder())
        slow_forms(tree)


@given(st.sampled_from(["user.name", "id", "message"]), st.text(max_size=100))
def test_a_written_term_is_read_as_the_value_it_was_written_from(field: str, value: str) -> None:
    assert parse(log_term(field, value)) == Term(field, (value,))


@given(st.text("abc'{}:;-\\%_", min_size=1, max_size=30))
def test_no_text_of_a_search_is_written_into_sql(value: str) -> None:
    text = f"QQ{value}ZZ"
    binder = Binder()
    names = " ".join([log_term("x.y", text), log_term("", text)[1:], f'raw:"*{text}*"', f"{'x'}.zz:*QQ*"])
    sql = condition(parse(names), binder)
    assert "QQ" not in sql
    assert any("QQ" in str(bound) for bound in binder.values.values())


@pytest.mark.parametrize(
    ("text", "slow"),
    [
        ("curl user.name:ro* process.name:*x*", []),
        ("*half* or curl", ["*half*"]),
        ("not raw:*x*", ["raw:*x*"]),
        ("raw:x", ["raw:x"]),
        ('message:"a *"', ['message:"a *"']),
        ("registry.path:*Run* registry.path:*", ["registry.path:*Run*"]),
        ("--", ["--"]),
    ],
)
def test_terms_that_read_long_columns_are_named_as_slow(text: str, slow: list[str]) -> None:
    assert slow_forms(parse(text)) == slow
