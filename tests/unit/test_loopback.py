"""Which Host headers name this very machine."""

from __future__ import annotations

import pytest

from shared.loopback import host_is_loopback


@pytest.mark.parametrize("host", ["localhost", "LocalHost:5080", "127.0.0.1:80", "127.8.9.1", "[::1]:5080", "[::1]"])
def test_a_name_of_this_machine_is_on_loopback(host: str) -> None:
    assert host_is_loopback(host)


@pytest.mark.parametrize("host", ["", "[", "soc.example.org", "localhost.evil.example", "10.0.0.1", "[2001:db8::1]:80"])
def test_any_other_name_is_not(host: str) -> None:
    assert not host_is_loopback(host)
