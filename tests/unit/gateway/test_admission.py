"""Whose address counts, and what the headers say."""

from __future__ import annotations

import pytest

from services.gateway.admission.domain import Quota, address_key, client_address, networks, same_host

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
        (None, "203.0.113.9", "unknown"),
    ],
)
def test_only_a_trusted_proxy_says_who_was_before_it(remote: str | None, forwarded: str | None, expected: str) -> None:
    assert client_address(remote, forwarded, TRUSTED) == expected


def test_an_ipv6_subscriber_counts_once() -> None:
    assert address_key("2001:db8:0:1::5") == address_key("2001:db8:0:1:ffff::9") == "2001:db8:0:1::/64"
    assert address_key("198.51.100.1") == "198.51.100.1"
    assert address_key("unknown") == "unknown"


def test_a_quota_tells_what_is_left_in_both_forms() -> None:
    quota = Quota(limit=100, used=5, resets_in=37)
    assert not quota.exceeded
    assert quota.headers(now=1_709_294_363.9) == {
        "X-RateLimit-Limit": "100",
        "X-RateLimit-Remaining": "95",
        "X-RateLimit-Reset": "1709294400",
        "RateLimit-Policy": '"default";q=100;w=60',
        "RateLimit": '"default";r=95;t=37',
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
