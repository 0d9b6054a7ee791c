"""Whose address counts, and what the headers say."""

from __future__ import annotations

import pytest

from services.gateway.admission.domain import (
    LimitName,
    LocalCounters,
    Quota,
    address_key,
    client_address,
    deprecation_headers,
    limit_of,
    networks,
    same_host,
)
from shared.contracts.catalog import ENDPOINTS
from shared.contracts.constants import PUBLIC, Endpoint
from shared.contracts.doors_elasticsearch import ELASTICSEARCH
from shared.contracts.logs import INGEST_LOGS
from shared.contracts.system import GET_HEALTH, GET_HEALTH_ALIAS, GET_METRICS
from shared.http_errors import uses_envelope

TRUSTED = networks(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "not an address", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:4711", "10.0.0.1"),
        (None, "203.0.113.9", "unknown"),
    ],
)
def test_only_a_trusted_proxy_says_who_was_before_it(remote: str | None, forwarded: str | None, expected: str) -> None:
    assert client_address(remote, forwarded, TRUSTED) == expected


def test_an_ipv6_subscriber_counts_once() -> None:
    assert address_key("2001:db8:0:1::5") == address_key("2001:db8:0:1:ffff::9") == "2001:db8:0:1::/64"
    assert address_key("198.51.100.1") == "198.51.100.1"
    assert address_key("unknown") == "unknown"


def test_an_ipv4_client_of_a_socket_for_both_counts_alone() -> None:
    assert address_key("::ffff:198.51.100.1") == address_key("198.51.100.1") != address_key("::ffff:198.51.100.2")


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/api/v1/chat/completions", "chat"),
        ("/api/v1/chat/stream", "chat"),
        ("/api/v1/chat/sessions", "soc"),
        ("/api/v1/alerts", "soc"),
        ("/.well-known/jwks.json", "soc"),
        ("/chat_api/sessions", "chat"),
        ("/chat_api/sessions/{session_id}", "chat"),
        ("/api/incidents/{incident_id}/chat", "chat"),
        ("/api/incidents/{incident_id}", "rca"),
        ("/api/auth/login", "rca"),
        ("/api/gcp/force-disconnect", "rca"),
        ("/login", "rca"),
        ("/callback", "rca"),
    ],
)
def test_a_path_counts_for_the_limit_of_its_api(path: str, limit: LimitName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.contracts.constants.ENDPOINTS", {})
    endpoint = Endpoint("POST", path, PUBLIC, "gateway", "")
    assert limit_of(endpoint, of_soc=uses_envelope(path)) == limit


def test_probes_and_intake_arent_counted_and_everything_else_is() -> None:
    uncounted = [endpoint for endpoint in ENDPOINTS.values() if limit_of(endpoint, of_soc=True) is None]
    assert {GET_HEALTH, INGEST_LOGS, *ELASTICSEARCH} <= set(uncounted)
    assert limit_of(GET_METRICS, of_soc=True) == "soc"
    assert {endpoint.tag for endpoint in uncounted} == {"Health", "SIEM / Detection", "Doors for shippers"}


def test_a_process_that_counts_alone_opens_a_new_window_each_minute() -> None:
    counters = LocalCounters()
    assert [counters.count("a", now) for now in (0, 10.5, 59)] == [(1, 60), (2, 50), (3, 1)]
    assert counters.count("b", 59) == (1, 60)
    assert counters.count("a", 60) == (1, 60)
    assert counters.count("b", 61) == (2, 58)


def test_a_process_that_counts_alone_remembers_so_many_and_lets_the_oldest_go() -> None:
    counters = LocalCounters(most=2)
    for key in ("a", "b", "b", "c"):
        counters.count(key, 0)
    assert counters.count("b", 1)[0] == 3
    assert counters.count("a", 1)[0] == 1


def test_a_quota_tells_what_is_left_in_both_forms() -> None:
    quota = Quota(limit=100, used=5, resets_in=37)
    assert not quota.exceeded
    assert quota.headers(now=1_709_294_363.9) == {
        "X-RateLimit-Limit": "100",
        "X-RateLimit-Remaining": "95",
        "X-RateLimit-Reset": "1709294400",
        "RateLimit-Policy": '"soc";q=100;w=60',
        "RateLimit": '"soc";r=95;t=37',
    }
    assert Quota(100, 100, 1).exceeded is False
    assert Quota(100, 101, 1).exceeded is True
    assert Quota(100, 150, 1).remaining == 0


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://127.0.0.1:5080", "127.0.0.1:5080", True),
        ("https://SOC.example.org", "soc.example.org", True),
        ("https://soc.example.org.evil.org", "soc.example.org", False),
        ("https://soc.example.org:444", "soc.example.org", False),
        ("null", "soc.example.org", False),
        ("null", "", False),
    ],
)
def test_a_page_of_this_host_is_told_from_any_other(origin: str, host: str, same: bool) -> None:
    assert same_host(origin, host) is same


def test_a_deprecated_endpoint_is_told_in_the_forms_of_the_page_or_of_the_rfcs() -> None:
    links = [
        ("Link", '</health>; rel="successor-version"'),
        ("Link", '</api/v1/docs>; rel="deprecation"; type="text/html"'),
        ("Link", '</api/v1/docs>; rel="sunset"'),
    ]
    page, rfc = (deprecation_headers(GET_HEALTH_ALIAS, as_rfc=as_rfc) for as_rfc in (False, True))
    assert list(page) == [("Deprecation", "true"), ("Sunset", "2027-06-30T00:00:00Z"), *links]
    assert list(rfc) == [("Deprecation", "@1795305600"), ("Sunset", "Wed, 30 Jun 2027 00:00:00 GMT"), *links]
    assert deprecation_headers(GET_HEALTH, as_rfc=False) == ()


def test_what_is_deprecated_goes_after_a_time_and_has_a_successor_that_stays() -> None:
    for endpoint in ENDPOINTS.values():
        if endpoint.deprecated is not None and endpoint.sunset is not None:
            assert endpoint.deprecated < endpoint.sunset
            assert [other.deprecated for other in ENDPOINTS.values() if other.path == endpoint.successor] == [None]
