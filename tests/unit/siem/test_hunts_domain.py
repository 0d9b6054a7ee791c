"""Values in a hunt's query stay values; schedules and differences."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.siem.hunts import domain
from services.siem.logs.query.nodes import And, Term
from services.siem.logs.query.parser import parse
from shared.contracts.hunts import HuntParameter, ParameterType
from shared.errors import AuroraError


def parameter(name: str = "x", kind: ParameterType = "string", default: str | None = None) -> HuntParameter:
    return HuntParameter(name=name, type=kind, default=default)


@given(st.text(min_size=1, max_size=80))
def test_a_value_never_changes_what_is_asked(value: str) -> None:
    try:
        rendered = domain.render("a.b:{{x}} word", [parameter()], {"x": value})
    except AuroraError:
        assert not value.isprintable()
        return
    assert parse(rendered) == And((Term("a.b", (value,)), Term(None, ("word",))))


@pytest.mark.parametrize(
    ("kind", "value", "literal"),
    [
        ("number", "-4.5", "-4.5"),
        ("ip", "2001:DB8::1", '"2001:db8::1"'),
        ("datetime", "2026-06-01T10:00:00+02:00", '"2026-06-01T08:00:00.000Z"'),
        ("string", 'a" OR *', '"a\\" OR \\*"'),
    ],
)
def test_a_value_is_written_in_the_form_of_its_type(kind: ParameterType, value: str, literal: str) -> None:
    assert domain.render("f.g:{{x}}", [parameter(kind=kind)], {"x": value}) == f"f.g:{literal}"


@pytest.mark.parametrize(
    ("kind", "value"),
    [("number", "1 OR 2"), ("ip", "10.0.0.0/8"), ("datetime", "now"), ("string", ""), ("string", "a\nb")],
)
def test_a_value_that_is_not_of_its_type_is_refused(kind: ParameterType, value: str) -> None:
    with pytest.raises(AuroraError) as refused:
        domain.render("f.g:{{x}}", [parameter(kind=kind)], {"x": value})
    assert refused.value.detail == [{"path": "body.parameters.x", "message": f"must be of type {kind}"}]


@pytest.mark.parametrize("query", ['f.g:"{{x}}"', '"say {{x}} now"', "f.g:pre{{x}}", "f.g:{{x}}post"])
def test_a_placeholder_must_be_a_whole_value(query: str) -> None:
    with pytest.raises(AuroraError, match="4220"):
        domain.check_parameters(query, [parameter()])


def test_placeholders_and_declarations_must_fit() -> None:
    for query, parameters in (
        ("f.g:{{y}}", [parameter()]),
        ("word", [parameter()]),
        ("{{x}}", [parameter(), parameter()]),
        (None, [parameter()]),
        ("f.g:{{x}}", [parameter(kind="ip", default="nowhere")]),
    ):
        with pytest.raises(AuroraError, match="4220"):
            domain.check_parameters(query, parameters)
    domain.check_parameters("f.g:{{x}} {{ x }}", [parameter()])


def test_a_missing_or_unknown_value_is_named() -> None:
    for given_values, path in (({}, "body.parameters.x"), ({"x": "1", "y": "2"}, "body.parameters.y")):
        with pytest.raises(AuroraError) as refused:
            domain.with_defaults([parameter()], given_values)
        assert refused.value.detail[0]["path"] == path
    assert domain.with_defaults([parameter(default="d")], {}) == {"x": "d"}


def test_a_schedule_is_due_next_in_utc() -> None:
    now = datetime(2026, 6, 14, 12, 0, 30, tzinfo=UTC)
    assert domain.next_time("30 4 * * 1", now) == datetime(2026, 6, 15, 4, 30, tzinfo=UTC)
    assert domain.next_time(None, now) is None


@pytest.mark.parametrize("schedule", ["* * * * * *", "61 * * * *", "0 0 30 2 *", "tomorrow at 9 am"])
def test_a_schedule_that_is_never_due_is_refused(schedule: str) -> None:
    with pytest.raises(AuroraError, match="4220"):
        domain.next_time(schedule, datetime(2026, 6, 14, tzinfo=UTC))


def test_two_runs_differ_by_what_is_new_and_what_is_gone() -> None:
    assert domain.difference(["d", "c", "b"], ["b", "a", "z"]) == domain.Difference(["d", "c"], 2)
