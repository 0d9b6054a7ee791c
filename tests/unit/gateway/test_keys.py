"""How an API key is presented: every style that shippers have, and what is no key."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from services.gateway.keys.domain import Presented, parse_id, presented, text_of
from shared.errors import INVALID_CREDENTIALS, AuroraError

ID = "0193a000-0000-7000-8000-00000000000a"
SECRET = "s_e-cret"
KEY = text_of(ID, SECRET)


def _headers(**headers: str) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {KEY}",
        f"bearer   {KEY} ",
        f"Splunk {KEY}",
        f"ApiKey {KEY}",
        f"ApiKey {_base64(KEY)}",
        f"APIKEY {_base64(KEY).rstrip('=')}",
        f"ApiKey {_base64(f'{ID}:{SECRET}')}",
        f"ApiKey {_base64(f'any:{KEY}')}",
        f"Basic {_base64(f'any:{KEY}')}",
        f"Basic {_base64(f':{KEY}')}",
        f"Basic {_base64(f'{ID}:{SECRET}')}",
    ],
)
def test_a_key_is_read_in_every_style(value: str) -> None:
    assert presented(_headers(authorization=value)) == Presented(ID, SECRET)


def test_the_header_of_its_own_goes_before_authorization() -> None:
    assert presented(_headers(x_api_key=KEY, authorization="Bearer a.b.c")) == Presented(ID, SECRET)


@pytest.mark.parametrize(
    "value", ["", "Bearer a.b.c", "Bearer", "Splunk", "ApiKey ", "Basic YTpi", "Basic", "Digest x"]
)
def test_what_is_no_key_is_left_to_others(value: str) -> None:
    assert presented(_headers(authorization=value)) is None


@pytest.mark.parametrize(
    "value",
    [
        "Bearer aur_",
        "Bearer aur_x_y",
        f"Bearer aur_{ID}",
        "Splunk x",
        "ApiKey %%%",
        "ApiKey eA==",
        "ApiKey " + "A" * 9999,
    ],
)
def test_a_key_that_cant_be_read_is_refused(value: str) -> None:
    with pytest.raises(AuroraError) as refused:
        presented(_headers(authorization=value))
    assert refused.value.code is INVALID_CREDENTIALS


@given(st.sampled_from(["Bearer", "Splunk", "ApiKey", "Basic", ""]), st.text(max_size=200))
def test_no_header_breaks_the_reading(scheme: str, text: str) -> None:
    try:
        found = presented(_headers(authorization=f"{scheme} {text}"))
    except AuroraError:
        return
    assert found is None or parse_id(found.id) == found.id
