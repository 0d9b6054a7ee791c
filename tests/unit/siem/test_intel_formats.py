"""Feeds become values with what is said of them; what can't be looked up is told with the reason."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.siem.intel import domain
from services.siem.intel.domain import Collected, Entry, TooManyEntriesError, candidates, status_of, together
from services.siem.intel.formats.recognise import READERS, format_of
from services.siem.intel.formats.stix_patterns import PatternError, taken_apart
from services.siem.intel.formats.times import moment
from shared.contracts.common import Observable
from shared.contracts.intel import IntelFormat, IntelName
from tests import feeds

JAN = datetime(2026, 1, 1, tzinfo=UTC)


def read(body: bytes | str, kind: IntelFormat | None = None, confidence: int | None = None) -> Collected:
    """What a feed brings."""
    data = body if isinstance(body, bytes) else body.encode()
    collected = Collected(confidence)
    found = kind or format_of(data)
    assert found is not None
    READERS[found](data, collected)
    return collected


def values(collected: Collected) -> dict[tuple[str, str], Entry]:
    return {key: entry for key, entry in collected.entries.items() if not entry.benign}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("[ipv4-addr:value = '45.33.32.156']", {("ip", "45.33.32.156")}),
        ("[ipv4-addr:value ISSUBSET '198.51.0.0/16']", {("ip", "198.51.0.0/16")}),
        ("[url:value='HTTP://Evil.Example/a']", {("url", "http://evil.example/a")}),
        ("[domain-name:value IN ('a.example', 'b.example')]", {("domain", "a.example"), ("domain", "b.example")}),
        ("[file:hashes.'SHA-256' = '" + "AB" * 32 + "']", {("hash", "ab" * 32)}),
        ("[file:hashes.MD5 = '" + "c" * 32 + "' OR file:hashes.'SHA-1' = '" + "d" * 40 + "']",
         {("hash", "c" * 32), ("hash", "d" * 40)}),
        ("[a-b:c = 'x'] OR ([email-addr:value = 'Eve@Evil.Example'])", {("email", "eve@evil.example")}),
        ("[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '45.33.32.156']",
         {("ip", "45.33.32.156")}),
        ("[windows-registry-key:key = 'HKLM\\\\Run\\\\X'] WITHIN 300 SECONDS", {("registry", "hklm\\run\\x")}),
        ("[mutex:name = 'it\\'s']", {("mutex", "it's")}),
        ("[file:hashes['SHA-256'] = '" + "AB" * 32 + "' AND EXISTS network-traffic:src_ref.type]",
         {("hash", "ab" * 32)}),
        ("[domain-name:value LIKE 'Whole.Example']", {("domain", "whole.example")}),
        ("[domain-name:value LIKE '%.evil-c2.com']", {("domain", "evil-c2.com")}),
        ("[url:value LIKE 'http://Evil-c2.com/gate/%']", {("url", "http://evil-c2.com/gate/*")}),
    ],
)  # fmt: skip
def test_a_pattern_brings_its_values_in_their_normal_form(pattern: str, found: set[tuple[str, str]]) -> None:
    collected = read(feeds.bundle(feeds.indicator(pattern)))
    assert set(collected.entries) == found
    assert all(not entry.requires and not entry.others for entry in collected.entries.values())


def test_values_that_must_be_seen_together_require_one_another_and_digests_stand_alone() -> None:
    pattern = "[domain-name:value = 'a.example' AND file:hashes.MD5 = '" + "c" * 32 + "' AND file:size > 5]"
    found = values(read(feeds.bundle(feeds.indicator(pattern))))
    named = found[("domain", "a.example")]
    assert named.requires == (Observable("hash", "c" * 32),)
    assert named.others
    assert found[("hash", "c" * 32)].requires == ()
    assert not found[("hash", "c" * 32)].others


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[file:size > 5]", "no value that can be looked up"),
        ("[url:value LIKE 'http://%']", "no value that can be looked up: LIKE on url:value"),
        ("[domain-name:value LIKE '%.co.uk']", "LIKE on domain-name:value"),
        ("[domain-name:value LIKE 'evil%']", "LIKE on domain-name:value"),
        ("[url:value MATCHES '^http://a']", "MATCHES on url:value"),
        ("[url:value NOT = 'http://a.example']", "NOT on url:value"),
        ("[url:value NOT IN ('http://a.example')]", "NOT on url:value"),
        ("[EXISTS file:name]", "EXISTS on file:name"),
        ("[x-tool:name = 'a']", "= on x-tool:name"),
        ("url:value = 'x'", "is missing"),
        ("[url:value = 'x'", "is missing"),
        ("[url:value = 'x'] nonsense", "can't be read to its end"),
        ("(" * 30 + "[url:value = 'x']" + ")" * 30, "nested too deep"),
        ("[" + " OR ".join("a:b = 'x'" for _ in range(300)) + "]", "more than 200 alternatives"),
        ("[url:value = '" + "x" * 20_000 + "']", "longer than 16 KiB"),
        ("", "is missing"),
    ],
)
def test_a_pattern_that_cannot_be_looked_up_says_why(pattern: str, reason: str) -> None:
    collected = read(feeds.bundle(feeds.indicator(pattern)))
    assert not collected.entries
    (why,) = collected.reasons
    assert reason in why


def test_what_of_a_pattern_is_left_out_is_counted_by_its_name_beside_what_was_taken() -> None:
    collected = read(
        feeds.bundle(
            feeds.indicator("[domain-name:value = 'a.example' OR domain-name:value LIKE 'a%']"),
            feeds.indicator("[domain-name:value = 'b.example'] REPEATS 5 TIMES WITHIN 10 SECONDS"),
            feeds.indicator("[domain-name:value = 'c.example' AND domain-name:value LIKE 'c%' AND file:size > 5]"),
            feeds.indicator("[domain-name:value = 'd.example'] FOLLOWEDBY [domain-name:value = 'e.example']"),
            feeds.indicator("[file:size > 5]"),
        )
    )
    assert {value[0] for _, value in values(collected)} == set("abcde")
    assert collected.left_out == {
        "LIKE on domain-name:value": 2,
        "> on file:size": 2,
        "FOLLOWEDBY": 1,
        "REPEATS": 1,
        "WITHIN": 1,
    }
    assert values(collected)["domain", "c.example"].others
    assert collected.skipped == 1


def test_the_newest_version_of_an_object_holds_wherever_it_stands() -> None:
    first = feeds.indicator("[domain-name:value = 'old.example']", modified="2026-01-01T00:00:00Z")
    last = {**first, "modified": "2026-02-01T00:00:00.5Z", "revoked": True}
    for order in ((first, last, first), (last, first, first)):
        collected = read(feeds.bundle(*order))
        assert values(collected)["domain", "old.example"].revoked
        assert collected.merged == 2


def test_an_object_without_an_id_is_named_by_its_place() -> None:
    collected = read(feeds.bundle({"type": "indicator", "pattern": "none"}, named=False))
    assert [problem.place for problem in collected.problems] == ["object 0"]


@given(st.text(alphabet="[]()' =ANDORIN:abc.\\,<>!", max_size=400))
def test_any_pattern_is_read_or_refused(pattern: str) -> None:
    try:
        taken_apart(pattern)
    except PatternError:
        return


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("(" * 16_000, id="parentheses"),
        pytest.param("[" + "a:b='1' AND " * 1200 + "a:b='1']", id="conditions"),
        pytest.param("'" * 16_000, id="quotes"),
        pytest.param("a:" + "a'" * 8000, id="path"),
        pytest.param("[a:b='" + "\\'" * 8000, id="escapes"),
    ],
)
def test_a_hostile_pattern_ends_in_an_answer(pattern: str) -> None:
    # One that took more than linear time would run into the limit of the test.
    with contextlib.suppress(PatternError):
        taken_apart(pattern[: 16 * 1024])


def test_observables_of_a_bundle_are_context_and_vulnerabilities_are_their_own() -> None:
    body = feeds.bundle(
        {"type": "ipv4-addr", "id": "ipv4-addr--1", "value": "45.33.32.156"},
        {"type": "file", "id": "file--1", "name": "A.exe", "hashes": {"MD5": "c" * 32, "SSDEEP": "3:a:b"}},
        {"type": "vulnerability", "id": "vulnerability--1", "name": "CVE-2021-44228", "description": "Log4Shell"},
        {"type": "vulnerability", "id": "vulnerability--2", "name": "nameless"},
    )
    collected = read(body)
    assert {key: entry.actionable for key, entry in collected.entries.items()} == {
        ("ip", "45.33.32.156"): False,
        ("hash", "c" * 32): False,
    }
    assert list(collected.vulnerabilities) == ["CVE-2021-44228"]
    assert collected.skipped == 2


def test_of_two_entries_of_one_value_that_in_force_and_that_alone_win() -> None:
    gone = Entry(type="ip", value="1.2.3.4", revoked=True, confidence=99)
    here = Entry(type="ip", value="1.2.3.4", confidence=40, names=(IntelName("malware", "A"),), valid_until=JAN)
    partly = Entry(type="ip", value="1.2.3.4", confidence=90, others=True)
    again = Entry(type="ip", value="1.2.3.4", confidence=70, names=(IntelName("malware", "B"),), tlp="amber")
    assert together(gone, here) == here
    assert together(here, partly) == here
    both = together(here, again)
    assert (both.confidence, both.valid_until, both.tlp) == (70, None, "amber")
    assert [name.name for name in both.names] == ["A", "B"]


def test_a_misp_answer_of_several_events_is_read_whole() -> None:
    events = [orjson.loads(feeds.misp_event({"type": "ip-dst|port", "value": f"45.33.32.{n}|443"})) for n in (1, 2)]
    assert set(read(orjson.dumps({"response": events})).entries) == {("ip", "45.33.32.1"), ("ip", "45.33.32.2")}
    assert set(read(orjson.dumps(events)).entries) == {("ip", "45.33.32.1"), ("ip", "45.33.32.2")}


def test_what_misp_found_on_its_warninglists_is_kept_with_the_value() -> None:
    body = feeds.misp_event(
        {"type": "ip-dst", "value": "8.8.8.8", "warnings": [{"warninglist_name": "List of known public resolvers"}]},
        {"type": "md5", "value": "d" * 32, "deleted": True},
        tags=('misp-galaxy:mitre-attack-pattern="PowerShell - T1059.001"', "tlp:red"),
    )
    found = read(body).entries
    assert found[("ip", "8.8.8.8")].warnings == ("List of known public resolvers",)
    assert found[("ip", "8.8.8.8")].techniques == ("T1059.001",)
    assert found[("ip", "8.8.8.8")].tlp == "red"
    assert found[("hash", "d" * 32)].revoked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("indicator,type\nevil.example,domain\n", {("domain", "evil.example")}),
        ("Type;IOC\nip:port;45.33.32.156:443\n", {("ip", "45.33.32.156")}),
        ('# a comment\n# "ioc_value","ioc_type"\n"hxxp://a[.]example/x","url"\n', {("url", "http://a.example/x")}),
        ("md5_hash\tsignature\n" + "c" * 32 + "\tDuskrat\n", {("hash", "c" * 32)}),
        ("2026-01-01,45.33.32.156,something\n", {("ip", "45.33.32.156")}),
        ("\ufeffdomain,confidence\nbücher.example,80\n", {("domain", "xn--bcher-kva.example")}),
    ],
)
def test_a_table_is_read_by_the_names_of_its_columns_or_the_shape_of_its_values(
    text: str, found: set[tuple[str, str]]
) -> None:
    assert set(read(text).entries) == found


@pytest.mark.parametrize("rows", [3, 3000])
def test_a_quote_that_is_not_closed_costs_its_own_row_alone(rows: int) -> None:
    lines = ["indicator,type,comment", '"unclosed,ip,', *(f"45.33.{n // 250}.{n % 250 + 1},ip,x" for n in range(rows))]
    lines.insert(4, '45.34.0.1,ip,"two\nlines"')
    collected = read("\n".join(lines), "csv")
    assert (len(collected.entries), collected.skipped) == (rows + 1, 1)
    assert [problem.place for problem in collected.problems] == ["line 2"]


def test_quotes_that_are_never_closed_end_in_an_answer() -> None:
    collected = read("indicator,type\n" + '"45.33.32.156,ip\n' * 20_000, "csv")
    assert collected.skipped + collected.merged + len(collected.entries) == 20_000


def test_a_row_brings_names_times_confidence_and_tags() -> None:
    text = (
        "value,confidence,malware,actor,tags,tlp,first_seen,valid_until,revoked,mitre\n"
        'a.example,0.8,Duskrat,Quiet Heron,"c2;loader",TLP:AMBER,2026-01-01,1767225600,no,T1071.001\n'
        "b.example,high,,,,,yesterday,,true,\n"
        "nothing here,,,,,,,,,\n"
    )
    collected = read(text, confidence=33)
    one, other = collected.entries[("domain", "a.example")], collected.entries[("domain", "b.example")]
    assert (one.confidence, one.tlp, one.tags, one.techniques) == (80, "amber", ("c2", "loader"), ("T1071.001",))
    assert one.names == (IntelName("malware", "Duskrat"), IntelName("threat-actor", "Quiet Heron"))
    assert (one.valid_from, one.valid_until) == (JAN, JAN)
    assert (other.confidence, other.revoked, other.valid_from) == (75, True, None)
    assert collected.skipped == 1


def test_a_list_of_values_takes_the_confidence_of_the_import() -> None:
    collected = read(
        "# feed\n45.33.32.156 # scanner\n45.33.32.0/24\nevil[.]example\nnot an indicator\n\n", confidence=60
    )
    assert set(collected.entries) == {("ip", "45.33.32.156"), ("ip", "45.33.32.0/24"), ("domain", "evil.example")}
    assert {entry.confidence for entry in collected.entries.values()} == {60}
    assert [problem.place for problem in collected.problems] == ["line 5"]


def test_the_catalogue_of_exploited_vulnerabilities_is_read_as_json_and_as_csv() -> None:
    table = (
        "cveID,vendorProject,product,vulnerabilityName,dateAdded,shortDescription,dueDate,knownRansomwareCampaignUse\n"
        "CVE-2026-1234,Acme,Gateway,Acme Gateway injection,2026-02-03,text,2026-02-24,Known\nnone,,,,,,,\n"
    )
    for body in (feeds.kev("CVE-2026-1234"), table.encode()):
        found = read(body).vulnerabilities["CVE-2026-1234"]
        assert (found.vendor, found.exploited, found.ransomware) == ("Acme", True, True)
        assert (found.added, found.due) == (date(2026, 2, 3), date(2026, 2, 24))
    assert read(table).skipped == 1


def test_a_warning_list_brings_benign_values_and_other_kinds_are_skipped() -> None:
    listed: dict[str, Any] = {"name": "Resolvers", "type": "cidr", "list": ["8.8.8.8/32", "45.33.32.0/24", "?"]}
    collected = read(orjson.dumps(listed))
    assert all(entry.benign for entry in collected.entries.values())
    assert set(collected.entries) == {("ip", "8.8.8.8"), ("ip", "45.33.32.0/24")}
    assert collected.skipped == 1
    assert read(orjson.dumps({**listed, "type": "regex"})).skipped == 1


def test_the_format_is_recognised_by_what_the_body_begins_with() -> None:
    assert format_of(feeds.bundle()) == "stix"
    assert format_of(feeds.misp_event()) == "misp"
    assert format_of(feeds.kev()) == "kev"
    assert format_of(b"\xef\xbb\xbfcveID,product\n") == "kev"
    assert format_of(b'{"name": "x", "list": []}') == "warninglist"
    assert format_of(b"indicator,type\n") == "csv"
    assert format_of(b"evil.example\n") == "text"
    assert format_of(b'{"other": 1}') is None
    assert format_of(b"[]") is None


@pytest.mark.parametrize(
    "body", [b" <!doctype html><p>Sign in, 45.33.32.156</p>", b"PK\x03\x04\x14\x00\x00\x00a.example"]
)
def test_pages_and_what_is_no_text_are_of_no_format(body: bytes) -> None:
    assert format_of(body) is None


def test_more_values_than_an_import_may_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "MAX_ENTRIES", 3)
    with pytest.raises(TooManyEntriesError):
        read("1.1.1.1\n1.1.1.2\n1.1.1.3\n1.1.1.4\n")


def test_every_value_read_is_counted_once() -> None:
    collected = read("1.1.1.1\n1.1.1.1\nnothing of use\n1.1.1.2\n")
    assert (len(collected.entries), collected.merged, collected.skipped) == (2, 1, 1)


@given(st.binary(max_size=300), st.sampled_from(sorted(READERS)))
def test_any_bytes_are_read_or_refused(body: bytes, kind: IntelFormat) -> None:
    try:
        READERS[kind](body, Collected())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-01-01", JAN),
        ("2026-01-01 00:00:00 UTC", JAN),
        ("2026-01-01T01:00:00+01:00", JAN),
        ("1767225600", JAN),
        ("0001-01-01", None),
        ("99999999999999999999", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_times_are_read_as_feeds_write_them(text: str | None, found: datetime | None) -> None:
    assert moment(text) == found


def test_candidates_stop_at_what_somebody_registered() -> None:
    asked = [
        Observable("domain", "a.b.evil.co.uk"),
        Observable("domain", "me.github.io"),
        Observable("url", "http://x.evil.example-c2.com/a?b=1"),
    ]
    found = {(item.index, item.type, item.value, item.via) for item in candidates(asked)}
    assert found == {
        (0, "domain", "a.b.evil.co.uk", "exact"),
        (0, "domain", "b.evil.co.uk", "parent_domain"),
        (0, "domain", "evil.co.uk", "parent_domain"),
        (1, "domain", "me.github.io", "exact"),
        (2, "url", "http://x.evil.example-c2.com/a?b=1", "exact"),
        (2, "url", "http://x.evil.example-c2.com/a", "exact"),
        (2, "url", "http://x.evil.example-c2.com/*", "url_prefix"),
        (2, "domain", "x.evil.example-c2.com", "url_host"),
        (2, "domain", "evil.example-c2.com", "url_host"),
        (2, "domain", "example-c2.com", "url_host"),
    }


def test_a_value_is_in_force_until_its_end_and_never_after_it_was_revoked() -> None:
    def state(**fields: Any) -> str:
        return status_of(**{"revoked": False, "actionable": True, "until": None, "at": JAN, **fields})

    assert state() == "current"
    assert state(until=JAN) == "expired"
    assert state(revoked=True, until=datetime(2027, 1, 1, tzinfo=UTC)) == "revoked"
    assert state(actionable=False) == "context"
