"""Observables have one form, however they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.observables import (
    domains_above,
    is_known_suffix,
    normalised,
    refang,
    registered_domain,
    type_of,
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("hxxp://evil[.]example/a", "http://evil.example/a"),
        ("hXXps[:]//evil(.)example(.)org/x", "https://evil.example.org/x"),
        ("meow://evil.example", "http://evil.example"),
        ("45[.]33[dot]32[.]156", "45.33.32.156"),
        ("eve (at) evil (dot) example", "eve@evil.example"),
        ("2001:db8[:]0::5", "2001:db8:0::5"),
        ("www.evil[.example", "www.evil.example"),
        ("10,0,0,1 and a, b", "10,0,0,1 and a, b"),
        ("if [ -f /etc/passwd ]; then", "if [ -f /etc/passwd ]; then"),
    ],
)
def test_what_was_made_harmless_is_as_it_was_and_other_text_stays(written: str, meant: str) -> None:
    assert refang(written) == meant


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("ip", "::ffff:45.33.32.156", "45.33.32.156"),
        ("ip", "2001:DB8::1", "2001:db8::1"),
        ("ip", "45.33.32.156/32", "45.33.32.156"),
        ("ip", "45.33.32.9/24", "45.33.32.0/24"),
        ("ip", "045.33.32.156", None),
        ("ip", "999.1.1.1", None),
        ("domain", "*.Evil.Example.", "evil.example"),
        ("domain", "bücher.example", "xn--bcher-kva.example"),
        ("domain", "45.33.32.156", None),
        ("domain", "a b.example", None),
        ("domain", "x" * 300 + ".com", None),
        ("url", "HTTP://Evil.Example:80", "http://evil.example/"),
        ("url", "https://evil.example:8443/A?b=C#d", "https://evil.example:8443/A?b=C"),
        ("url", "http://[2001:db8::1]/x", "http://[2001:db8::1]/x"),
        ("url", "http://[bad", None),
        ("hash", "AB" * 16, "ab" * 16),
        ("hash", "AB" * 15, None),
        ("cve", "cve-2021-44228", "CVE-2021-44228"),
        ("email", "Eve@Evil.Example", "eve@evil.example"),
        ("file", " Evil.DLL ", "evil.dll"),
        ("domain", "a\x00.example", None),
        ("mutex", "x" * 3000, None),
    ],
)
def test_a_value_has_one_form(kind: str, value: str, form: str | None) -> None:
    assert normalised(kind, value) == form


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("45.33.32.156", "ip"),
        ("45.33.32.0/24", "ip"),
        ("evil[.]com", "domain"),
        ("hxxps://evil.com/x", "url"),
        ("ldap://evil.com/x", "url"),
        ("c" * 64, "hash"),
        ("CVE-2021-44228", "cve"),
        ("eve@evil.com", "email"),
        ("kernel32.dll", None),
        ("hello", None),
        ("", None),
    ],
)
def test_a_single_value_is_told_by_its_shape(value: str, kind: str | None) -> None:
    assert type_of(value) == kind


def test_what_lies_above_a_domain_ends_where_strangers_share() -> None:
    assert list(domains_above("a.b.evil.co.uk")) == ["b.evil.co.uk", "evil.co.uk"]
    assert list(domains_above("evil.com")) == []
    assert list(domains_above("me.github.io")) == []
    assert list(domains_above("www.evil.onion")) == ["evil.onion"]
    assert registered_domain("github.io") is None
    assert registered_domain("onion") is None
    assert is_known_suffix("evil.onion")
    assert not is_known_suffix("kernel32.dll")


@given(st.sampled_from(["ip", "domain", "url", "hash", "email", "cve", "file"]), st.text(max_size=200))
def test_the_form_of_a_form_is_itself(kind: str, value: str) -> None:
    form = normalised(kind, value)
    if form is not None:
        assert normalised(kind, form) == form


@pytest.mark.parametrize("part", ["[.]", "hxxp://", "a@", "(", "a.", "http://a.", "\\", "1.", ":", "[at]", " (dot) "])
def test_hostile_text_is_read_to_its_end(part: str) -> None:
    # Text for which an expression took more than linear time would run into the limit of the test.
    assert isinstance(refang(part * (64 * 1024 // len(part))), str)
