"""What crosses the gateway, and what is kept of a write."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from services.gateway.idempotency.domain import (
    LARGEST_ANSWER,
    Body,
    Fingerprint,
    is_final,
    is_key,
    kept_headers,
    store_key,
)
from services.gateway.proxy.domain import passing, returning, target
from shared.contracts.alerts import GET_ALERT, LIST_ALERTS
from shared.errors import NOT_FOUND, AuroraError


def test_only_named_headers_pass() -> None:
    sent = CIMultiDict({"content-type": "text/plain", "authorization": "Bearer x", "x-user-id": "user_1"})
    assert passing(sent) == {"Content-Type": "text/plain"}
    assert returning({"etag": "1", "set-cookie": "a=b", "x-api-version": "9"}) == {"ETag": "1"}


def test_a_parameter_stays_one_segment_of_the_path() -> None:
    assert target(GET_ALERT, {"alert_id": "a/../b?c#d é"}, "x=1") == "/api/v1/alerts/a%2F..%2Fb%3Fc%23d%20%C3%A9"
    assert target(LIST_ALERTS, {}, "limit=1&q=%20") == "/api/v1/alerts?limit=1&q=%20"


@pytest.mark.parametrize("value", [".", "..", ""])
def test_a_parameter_that_leads_to_another_path_is_not_found(value: str) -> None:
    with pytest.raises(AuroraError) as refused:
        target(GET_ALERT, {"alert_id": value}, "")
    assert refused.value.code is NOT_FOUND


def test_a_fingerprint_is_of_method_target_condition_and_body_however_it_came() -> None:
    def of(method: str, path: str, *pieces: bytes, condition: str | None = None) -> bytes:
        fingerprint = Fingerprint(method, path, condition)
        for piece in pieces:
            fingerprint.add(piece)
        return fingerprint.digest()

    assert of("POST", "/a", b"12", b"3") == of("POST", "/a", b"123")
    assert len({of("POST", "/a", b"1"), of("PATCH", "/a", b"1"), of("POST", "/b", b"1"), of("POST", "/a")}) == 4
    assert len({of("PATCH", "/a", condition=one) for one in (None, "", '"1"', '"2"')}) == 4


@pytest.mark.parametrize("status", [200, 201, 204, 404, 409, 422])
def test_answers_that_would_be_the_same_again_are_kept(status: int) -> None:
    assert is_final(status)


@pytest.mark.parametrize("status", [401, 408, 425, 429, 500, 503, 504])
def test_answers_of_a_busy_or_broken_service_are_not_kept(status: int) -> None:
    assert not is_final(status)


def test_an_answer_that_is_too_large_is_remembered_but_not_kept() -> None:
    body = Body()
    body.add(b"x" * LARGEST_ANSWER)
    assert not body.record(b"f", 200, []).too_large
    body.add(b"x")
    record = body.record(b"f", 200, [("ETag", '"1"')])
    assert (record.too_large, record.body, record.headers) == (True, b"", [])


def test_of_an_answers_headers_those_of_the_answer_itself_are_kept() -> None:
    answered = CIMultiDict({"content-type": "text/plain", "etag": '"1"', "x-request-id": "a", "ratelimit": "b"})
    assert kept_headers(answered, ["a=b"]) == [("Content-Type", "text/plain"), ("ETag", '"1"'), ("Set-Cookie", "a=b")]


def test_keys_are_visible_ascii_and_kept_as_a_hash() -> None:
    assert is_key("8e03978e-40d5-43dd-bc93-6894a57f9324")
    assert not any(map(is_key, ("", " ", "a b", "é", "x" * 256, "a\n")))
    assert "secret-looking" not in store_key("user_1", "secret-looking")
    assert store_key("user_1", "a") != store_key("user_2", "a")
