"""Tunnels and generated names in DNS: families of generators made here, ordinary names that nobody trained on."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agents.toolkit.network.dns import domains_in, generated_in, question_of
from services.agents.toolkit.network.names import entropy, is_generated, oddness, registered
from tests.unit.agents.network_rows import logged, questions

#: None of them is in the list that the score was learned from.
_WORDS = (
    "heise golem netzwelt tagesschau ardmediathek sueddeutsche handelsblatt freedesktop libreoffice inkscape "
    "blender audacity videolan handbrake bitwarden nextcloud mastodon protonmail fastmail mailbox "
    "schneidertrockenbau hewlettpackard siemensgamesa continental schaeffler kingfisher jpmorganchase "
    "mitsubishi panasonic fujitsu bootstrapcdn packagist mvnrepository sonatype scorecardresearch criteo "
    "taboola outbrain rubiconproject casalemedia optimizely segment mixpanel amplitude launchdarkly cloudinary "
    "gravatar typekit fontawesome onmicrosoft windowsazure azurewebsites herokuapp appspot googlevideo "
    "googleusercontent redditstatic cdninstagram rambler sberbank wildberries bilibili softbank coupang "
    "flipkart mercadolibre clarin archlinux linuxmint opensuse springernature sciencedirect elsevier "
    "researchgate stadtwerkemuenchen kreissparkasse bundesnetzagentur arbeitsagentur usertrust rapidssl "
    "entrust "
)
ORDINARY = _WORDS.split()
LETTERS = string.ascii_lowercase
FAMILIES: dict[str, Callable[[random.Random], str]] = {
    "letters": lambda chance: "".join(chance.choices(LETTERS, k=chance.randint(10, 18))),
    "short letters": lambda chance: "".join(chance.choices(LETTERS, k=chance.randint(8, 11))),
    "hexadecimal": lambda chance: "".join(chance.choices("0123456789abcdef", k=16)),
    "letters and digits": lambda chance: "".join(chance.choices(LETTERS + string.digits, k=14)),
    "half the alphabet": lambda chance: "".join(chance.choices(LETTERS[:16], k=15)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_most_names_of_a_generator_read_as_generated(family: str) -> None:
    chance = random.Random(family)
    names = [FAMILIES[family](chance) + ".com" for _ in range(500)]
    assert sum(map(is_generated, names)) >= 0.85 * len(names)


def test_hardly_any_ordinary_name_reads_as_generated() -> None:
    odd = [name for name in ORDINARY if is_generated(name + ".com")]
    assert len(odd) <= len(ORDINARY) // 50, odd


@pytest.mark.parametrize("name", ["server01", "db-prod-2", "web2026", "xn--mnchen-3ya", "abc", "s3"])
def test_numbered_and_short_names_are_ordinary(name: str) -> None:
    assert oddness(name) < 0.5


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("a.b.example.co.uk", "example.co.uk"),
        ("www.example.com.", "example.com"),
        ("D111.CloudFront.net", "d111.cloudfront.net"),
        ("com", ""),
        ("localhost", ""),
        ("192.0.2.7", ""),
        ("", ""),
    ],
)
def test_the_registered_part_of_a_name(name: str, owner: str) -> None:
    assert registered(name) == owner


@given(st.text(max_size=80))
def test_any_text_has_a_score_and_an_entropy(text: str) -> None:
    assert oddness(text) >= 0
    assert 0 <= entropy(text) <= 7
    assert registered(text) == registered(text.upper()) or not text.isascii()


def test_labels_that_a_company_gives_its_customers_are_not_generated() -> None:
    assert registered("a.dw8wjz3q0i4gj.cloudfront.net") == "dw8wjz3q0i4gj.cloudfront.net"
    assert registered("a.dw8wjz3q0i4gj.cloudfront.net", shared=False) == "cloudfront.net"
    assert not is_generated("a.dw8wjz3q0i4gj.cloudfront.net")


def carried(count: int, seed: int = 1) -> list[str]:
    """Names below one domain that carry data, as iodine and dnscat2 make them."""
    chance = random.Random(seed)
    parts = [base64.b32encode(chance.randbytes(30)).decode().rstrip("=").lower() for _ in range(count)]
    return [f"{part[:40]}.{place}.t.example.com" for place, part in enumerate(parts)]


def test_many_long_random_names_below_one_domain_are_a_tunnel() -> None:
    domain = domains_in(questions(carried(80), kind="TXT"))[0]
    assert domain.domain == "example.com"
    assert domain.is_tunnel
    assert domain.carrying == 1.0


@pytest.mark.parametrize(
    "names",
    [
        carried(20),
        [f"host{number}.example.com" for number in range(500)],
        [carried(1)[0]] * 500,
        [f"e{number}.dscb.akamaiedge.net" for number in range(200)],
        ["www.example.com", "mail.example.com", "cdn.example.com"] * 100,
    ],
    ids=["few", "short", "one name often", "content network", "ordinary"],
)
def test_other_questions_are_no_tunnel(names: list[str]) -> None:
    assert not any(domain.is_tunnel for domain in domains_in(questions(names)))


def test_a_source_that_asks_for_generated_names_is_told_with_how_many_are_missing() -> None:
    chance = random.Random(5)
    odd = [FAMILIES["letters"](chance) + ".net" for _ in range(20)]
    asked = questions(odd, missing=True) + questions([f"www.{name}.com" for name in ORDINARY])
    (found,) = generated_in(asked)
    assert found.source == "10.0.0.5"
    assert found.domains >= 18
    assert found.missing >= 18
    assert found.asked == 20 + len(ORDINARY)


def test_a_domain_is_missing_only_when_no_question_below_it_was_answered() -> None:
    odd = "qxkzjvwqpl.net"
    asked = questions([f"a.{odd}"], missing=True) + questions([f"b.{odd}"], missing=False)
    assert [(item.domains, item.missing) for item in generated_in(asked)] == [(1, 0)]


@pytest.mark.parametrize("name", ["7.2.0.192.in-addr.arpa", "printer.local", "wpad", "host.corp"])
def test_names_that_nobody_registers_are_left_out(name: str) -> None:
    assert question_of(logged({"dns.question.name": name})) is None


def test_a_question_is_read_from_an_event() -> None:
    event = logged(
        {
            "dns.question.name": "WWW.Example.com.",
            "dns.question.type": "txt",
            "dns.response_code": "NXDOMAIN",
            "dns.answers.data": ["192.0.2.1"],
            "source.ip": "10.0.0.5",
        }
    )
    found = question_of(event)
    assert found is not None
    assert (found.name, found.kind, found.missing, found.answers) == ("www.example.com", "TXT", True, ("192.0.2.1",))
