"""Which variable a setting is read from."""

from __future__ import annotations

from dataclasses import dataclass

from shared.config import load
from shared.live_settings import RuntimeDefaults


@dataclass(frozen=True)
class _Settings:
    frontend_url: str = ""
    http_port: int = 0


def test_the_frontend_is_named_as_the_page_names_it_or_with_the_prefix() -> None:
    assert load(_Settings, {"FRONTEND_URL": "https://a"}).frontend_url == "https://a"
    both = {"FRONTEND_URL": "https://a", "AURORA_FRONTEND_URL": "https://b"}
    assert load(_Settings, both).frontend_url == "https://b"
    assert load(_Settings, {**both, "AURORA_GATEWAY_FRONTEND_URL": "https://c"}, service="gateway").frontend_url == (
        "https://c"
    )
    assert load(_Settings, {}).frontend_url == ""


def test_no_other_variable_is_read_without_the_prefix() -> None:
    assert load(_Settings, {"HTTP_PORT": "7"}).http_port == 0


def test_limits_are_those_of_the_pages_unless_they_are_set() -> None:
    limits = load(RuntimeDefaults, {})
    assert limits.rca_requests_per_minute == 100
    assert limits.chat_requests_per_minute == 20
    assert limits.requests_per_minute == 1200
    assert load(RuntimeDefaults, {"AURORA_RCA_REQUESTS_PER_MINUTE": "7"}).rca_requests_per_minute == 7
