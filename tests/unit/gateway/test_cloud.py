"""Cloud sign-in, as far as it is pure: PKCE, AWS's signature against AWS's own library, what answers say."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.cloud import domain
from services.gateway.cloud.domain import LoginState
from shared.outbound import FORM
from tests.cloud_providers import ROLE, signature_of

NOW = datetime(2026, 11, 22, 9, 30, 0, 500_000, tzinfo=UTC)


def _signature(url: str, body: bytes, secret: str) -> tuple[str, dict[str, str]]:
    headers = domain.sigv4_headers(
        url, body, FORM, key_id="AKIDEXAMPLE", secret=secret, region="us-east-1", service="sts", now=NOW
    )
    return headers["Authorization"].rpartition("Signature=")[2], dict(headers)


@given(st.dictionaries(st.text(min_size=1), st.text()), st.text(st.characters(codec="ascii"), min_size=1))
def test_a_request_is_signed_as_awss_own_library_signs_it(form: dict[str, str], secret: str) -> None:
    body = urlencode(form, errors="replace")
    for url in ("https://sts.amazonaws.com/", "http://127.0.0.1:4566/"):
        ours, headers = _signature(url, body.encode(), secret)
        assert ours == signature_of("AKIDEXAMPLE", secret, url, body, headers, "20261122T093000Z")


def test_the_signed_request_names_key_scope_and_headers() -> None:
    _, headers = _signature("https://sts.amazonaws.com/", b"", "secret")
    assert headers["Authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/sts/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, Signature="
    )
    assert headers["X-Amz-Date"] == "20261122T093000Z"


def test_the_challenge_is_that_of_rfc_7636() -> None:
    assert (
        domain.challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_an_authorization_url_keeps_the_parameters_that_its_endpoint_has() -> None:
    made = domain.authorization_url("https://login.example.org/auth?tenant=a", "id", "http://x/callback", "s", "t", "v")
    query = parse_qs(urlsplit(made).query)
    assert (query["tenant"], query["client_id"], query["redirect_uri"]) == (["a"], ["id"], ["http://x/callback"])


def test_a_sign_in_belongs_to_the_cookie_it_began_with() -> None:
    state = LoginState("1", "user_a", domain.browser_hash("cookie"), "verifier", 0)
    assert domain.began_in(state, "cookie")
    assert not domain.began_in(state, "another")
    assert not domain.began_in(state, "\ud800")
    assert not domain.began_in(state, None)


def test_a_role_is_tested_with_credentials_that_may_do_nothing() -> None:
    form = domain.assume_role_form(ROLE, "aurora-x", "external")
    assert '"Effect":"Deny","Action":"*"' in form["Policy"]
    assert form["ExternalId"] == "external"
    assert "ExternalId" not in domain.assume_role_form(ROLE, "aurora-x", None)


def test_the_name_of_a_role_session_is_one_that_aws_takes() -> None:
    assert domain.session_name("user_abc") == "aurora-user_abc"
    assert len(domain.session_name("u" * 200)) == 64
    assert domain.session_name("a b/c") == "aurora-a-b-c"


def test_only_an_assumed_role_tells_an_account() -> None:
    answer = b"<AssumedRoleUser><Arn>arn:aws-us-gov:sts::123456789012:assumed-role/R/aurora-x</Arn></AssumedRoleUser>"
    assert domain.assumed_account(answer) == "123456789012"
    assert domain.assumed_account(b"<html>welcome</html>") is None
    assert domain.assumed_account(b"<Arn>arn:aws:iam::123456789012:role/R</Arn>") is None
    assert domain.refusal(b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>") == "AccessDenied"
    assert domain.refusal(b"\xff\xfe") == ""


def test_the_wait_before_a_revocation_doubles_up_to_a_quarter_of_an_hour() -> None:
    assert [domain.wait_before(attempt, 10) for attempt in (0, 1, 2)] == [10, 20, 40]
    assert domain.wait_before(1000, 10) == 900


def test_what_was_granted_is_never_shown_in_a_repr() -> None:
    granted = domain.Granted(b"the credentials", account="a")
    assert "credentials" not in repr(granted)
