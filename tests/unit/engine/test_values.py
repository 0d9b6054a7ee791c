"""One field, one value: how each kind of Sigma value compares with each kind of event value."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.engine.rule_kit import matches

WINDOWS = "C:\\Windows\\System32\\cmd.exe"


def item(key: str, value: str) -> str:
    return f"sel:\n  {key}: {value}\ncondition: sel"


@pytest.mark.parametrize(
    ("key", "value", "fields", "expected"),
    [
        ("Image", "cmd.exe", {"Image": "cmd.exe"}, True),
        ("Image", "CMD.exe", {"iMAGE": "cmd.EXE"}, True),
        ("Image", "cmd.exe", {"Image": "cmd.exe "}, False),
        ("Image", "cmd.exe", {}, False),
        ("Image", "cmd.exe", {"Image": None}, False),
        ("Image", "cmd.exe", {"Image": ["x", "cmd.exe"]}, True),
        ("Image", "cmd.exe", {"Image": [["cmd.exe"], None, {"a": 1}]}, True),
        ("Image", "cmd.exe", {"Image": {"cmd.exe": "cmd.exe"}}, False),
        ("process.name", "bash", {"Process.Name": "bash"}, True),
        ("cs-uri query", "x", {"cs-uri query": "x"}, True),
        ("User", "straße", {"User": "STRASSE"}, True),
        ("User", "STRASSE", {"User": "straße"}, True),
        ("User", "ΟΔΟΣ*", {"User": "οδοσ1"}, True),
        ("User", "οδοσ*", {"User": "ΟΔΟΣ"}, True),
        ("Image|cased", "cmd.exe", {"Image": "cmd.exe"}, True),
        ("Image|cased", "cmd.exe", {"Image": "CMD.exe"}, False),
        ("Image|contains|cased", "Cmd", {"Image": "xCmdx"}, True),
        ("Image|contains|cased", "Cmd", {"Image": "xcmdx"}, False),
        ("Image|endswith", "'\\cmd.exe'", {"Image": WINDOWS}, True),
        ("Image|endswith", "'\\cmd.exe'", {"Image": WINDOWS + "x"}, False),
        ("Image|startswith", "'c:\\win'", {"Image": WINDOWS}, True),
        ("Image|startswith", "'windows'", {"Image": WINDOWS}, False),
        ("Image|contains", "system32", {"Image": WINDOWS}, True),
        ("Image|contains", "''", {"Image": ""}, True),
        ("Image|contains", "''", {}, False),
    ],
)
def test_texts_compare_without_case_unless_cased(key: str, value: str, fields: dict[str, Any], expected: bool) -> None:
    assert matches(item(key, value), fields) is expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("'C:\\\\*\\cmd.exe'", WINDOWS, True),
        ("'C:\\\\*\\cmd.ex'", WINDOWS, False),
        ("'?:\\windows\\\\*'", WINDOWS, True),
        ("'*\\system??\\\\*'", WINDOWS, True),
        ("'*\\system???\\\\*'", WINDOWS, False),
        ("'*'", "", True),
        ("'?*'", "", False),
        ("'?*'", "x", True),
        ("'a*b*c'", "a1b2b3c", True),
        ("'a*b*c'", "ac", False),
        ("'ab*ba'", "aba", False),
        ("'a**c'", "ac", True),
        ("'a\\*c'", "a*c", True),
        ("'a\\*c'", "abc", False),
        ("'a\\?c'", "a?c", True),
        ("'a\\\\*c'", "a\\xc", True),
        ("'a\\\\\\*c'", "a\\*c", True),
        ("'a\\b'", "a\\b", True),
        ("'line*end'", "line\nmore\nend", True),
        ("'a?c'", "a\nc", True),
    ],
)
def test_wildcards_match_any_characters_and_can_be_escaped(pattern: str, text: str, expected: bool) -> None:
    assert matches(item("Field", pattern), {"Field": text}) is expected


@pytest.mark.parametrize(
    ("value", "found", "expected"),
    [
        ("1", 1, True),
        ("1", "1", True),
        ("'1'", 1, True),
        ("1", 1.0, True),
        ("1.5", 1.5, True),
        ("1.5", "1.5", True),
        ("1", 11, False),
        ("'1*'", 11, True),
        ("true", True, True),
        ("true", "True", True),
        ("'true'", True, True),
        ("false", 0, False),
        ("5136", "0x1410", False),
        ("9007199254740993", "9007199254740993", True),
    ],
)
def test_numbers_and_booleans_match_their_texts(value: str, found: Any, expected: bool) -> None:
    assert matches(item("Field", value), {"Field": found}) is expected


@pytest.mark.parametrize(
    ("key", "value", "fields", "expected"),
    [
        ("Field", "null", {}, True),
        ("Field", "null", {"field": None}, True),
        ("Field", "null", {"field": []}, True),
        ("Field", "null", {"field": [None]}, True),
        ("Field", "null", {"field": ""}, False),
        ("Field", "''", {"field": ""}, True),
        ("Field", "''", {"field": None}, False),
        ("Field", "''", {}, False),
        ("Field", "[null, '']", {}, True),
        ("Field", "[]", {}, True),
        ("Field|exists", "true", {"FIELD": None}, True),
        ("Field|exists", "true", {}, False),
        ("Field|exists", "false", {}, True),
        ("Field|exists", "false", {"field": "x"}, False),
        ("Field|neq", "x", {"field": "y"}, True),
        ("Field|neq", "x", {"field": "X"}, False),
        ("Field|neq", "x", {}, True),
    ],
)
def test_missing_null_and_empty_are_three_things(key: str, value: str, fields: dict[str, Any], expected: bool) -> None:
    assert matches(item(key, value), fields) is expected


@pytest.mark.parametrize(
    ("modifier", "bound", "found", "expected"),
    [
        ("lt", "10", 9, True),
        ("lt", "10", "9", True),
        ("lt", "10", 10, False),
        ("lte", "10", "10", True),
        ("gt", "10", 10.5, True),
        ("gte", "10", "1e2", True),
        ("gt", "10", "ten", False),
        ("gt", "10", "nan", False),
        ("gt", "10", [1, "99"], True),
        ("gt", "9007199254740992", 9007199254740993, True),
        ("gt", "10", "9" * 5000, False),
        ("hour|gte", "22", "2026-01-02 23:15:00.123", True),
        ("hour|gte", "22", "2026-01-02T21:59:59Z", False),
        ("minute", "15", "2026-01-02T23:15:00Z", True),
        ("day", "2", "2026-01-02", True),
        ("week", "1", "2026-01-02", True),
        ("month", "1", "2026-01-02", True),
        ("year|lt", "2027", "2026-01-02", True),
        ("year", "2026", "yesterday", False),
    ],
)
def test_numbers_and_parts_of_times_compare(modifier: str, bound: str, found: Any, expected: bool) -> None:
    assert matches(item(f"Field|{modifier}", bound), {"Field": found}) is expected


@pytest.mark.parametrize(
    ("network", "found", "expected"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "not an address", False),
        ("10.0.0.0/8", "10.1.2.3, 10.1.2.4", False),
        ("10.0.0.0/8", ["8.8.8.8", " 10.0.0.1 "], True),
        ("fe80::/10", "FE80::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fe80::/10", "10.0.0.1", False),
        ("['fe80::/10', '192.168.0.0/16']", "192.168.1.1", True),
    ],
)
def test_addresses_match_their_networks(network: str, found: Any, expected: bool) -> None:
    assert matches(item("Ip|cidr", network), {"ip": found}) is expected


@pytest.mark.parametrize(
    ("modifier", "pattern", "text", "expected"),
    [
        ("re", "'w.n+'", "C:\\winnt", True),
        ("re", "'W.n'", "win", False),
        ("re", "'^win$'", "winnt", False),
        ("re|i", "'W.N'", "win", True),
        ("re", "'a.b'", "a\nb", False),
        ("re|s", "'a.b'", "a\nb", True),
        ("re", "'^b'", "a\nb", False),
        ("re|m", "'^b'", "a\nb", True),
        ("re", "'\\d{3}'", "ab123", True),
        ("re", "'a|b'", "xxb", True),
        ("re|contains", "'a|b'", "xxb", True),
        ("re", "'é+'", "café", True),
        ("re", "'^4.$'", 42, True),
    ],
)
def test_regular_expressions_search_the_original_text(modifier: str, pattern: str, text: Any, expected: bool) -> None:
    assert matches(item(f"Field|{modifier}", pattern), {"Field": text}) is expected


@pytest.mark.parametrize(
    ("key", "value", "text", "expected"),
    [
        ("C|base64", "foobar", "Zm9vYmFy", True),
        ("C|base64offset|contains", "http://", "xxaHR0cDovL2V2aWw", True),
        ("C|base64offset|contains", "http://", "aHR0cHM6Ly9ldmls", False),
        ("C|wide|base64offset|contains", "IEX", "SQBFAFgAIAAoAE4A", True),
        ("C|utf16le|base64offset|contains", "IEX", "SQBFAFgAIAAoAE4A", True),
        ("C|utf16be|base64", "ab", "AGEAYg==", True),
        ("C|utf16|base64", "ab", "//5hAGIA", True),
        ("C|windash|contains", "' -enc '", "powershell /ENC abc", True),
        ("C|windash|contains", "' -enc '", "powershell –enc abc", True),
        ("C|windash|contains", "' -enc '", "powershell +enc abc", False),
        ("C|contains|all", "[one, two]", "two and one", True),
        ("C|contains|all", "[one, two]", "two", False),
        ("C|contains", "[one, two]", "two", True),
        ("C|windash|contains|all", "[' -a', ' -b']", "x /a -b", True),
        ("C|windash|contains|all", "[' -a', ' -b']", "x /a +b", False),
    ],
)
def test_encodings_and_expansions_are_searched_for(key: str, value: str, text: str, expected: bool) -> None:
    assert matches(item(key, value), {"C": text}) is expected


@pytest.mark.parametrize(
    ("modifier", "fields", "expected"),
    [
        ("fieldref", {"A": "x", "B": "X"}, True),
        ("fieldref", {"A": "x", "B": "y"}, False),
        ("fieldref", {"A": "x"}, False),
        ("fieldref", {}, False),
        ("fieldref", {"A": ["1", "2"], "B": [3, 2]}, True),
        ("fieldref|startswith", {"A": "xyz", "B": "xy"}, True),
        ("fieldref|endswith", {"A": "xyz", "B": "yz"}, True),
        ("fieldref|contains", {"A": "xyz", "B": "y"}, True),
        ("fieldref|neq", {"A": "x", "B": "y"}, True),
        ("fieldref|neq", {"A": "x", "B": "x"}, False),
    ],
)
def test_a_field_compares_with_another_field(modifier: str, fields: dict[str, Any], expected: bool) -> None:
    assert matches(item(f"A|{modifier}", "B"), fields) is expected
