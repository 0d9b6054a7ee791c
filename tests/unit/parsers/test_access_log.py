"""nginx and apache access lines."""

from datetime import UTC, datetime

from tests.unit.parsers.parsing import event

COMBINED = (
    '192.0.2.7 - frank [22/Nov/2026:01:59:30 +0100] "GET /a/b.php?id=1%27&x=2 HTTP/1.1" 200 862 '
    '"http://example.com/" "curl/8.0"'
)


def test_a_combined_line_gives_ecs_and_sigmas_names() -> None:
    found = event(COMBINED)
    assert found.timestamp == datetime(2026, 11, 22, 0, 59, 30, tzinfo=UTC)
    assert found.dataset == "nginx.access"
    expected = {
        "source.ip": "192.0.2.7",
        "user.name": "frank",
        "http.request.method": "GET",
        "url.path": "/a/b.php",
        "url.query": "id=1%27&x=2",
        "url.original": "/a/b.php?id=1%27&x=2",
        "http.response.status_code": 200,
        "http.response.body.bytes": 862,
        "http.request.referrer": "http://example.com/",
        "user_agent.original": "curl/8.0",
        "http.version": "1.1",
        "event.outcome": "success",
    }
    assert {name: found.ecs.get(name) for name in expected} == expected
    sigma = {
        "c-ip": "192.0.2.7",
        "cs-username": "frank",
        "cs-method": "GET",
        "cs-uri": "/a/b.php?id=1%27&x=2",
        "cs-uri-stem": "/a/b.php",
        "cs-uri-query": ["id=1%27&x=2", "/a/b.php?id=1%27&x=2"],
        "cs-version": "HTTP/1.1",
        "sc-status": 200,
        "sc-bytes": 862,
        "cs-referer": "http://example.com/",
        "cs-user-agent": "curl/8.0",
    }
    (view,) = found.views
    assert {name: view.fields.get(name) for name in sigma} == sigma
    assert (view.product, view.category, view.services) == ("nginx", "webserver", ("nginx",))


def test_the_server_is_known_by_the_source_or_the_format_asked_for() -> None:
    assert event(COMBINED, source="web01/apache2").dataset == "apache.access"
    assert event(COMBINED, form="apache").views[0].services == ("apache",)
    assert event(COMBINED, source="apache", form="nginx").dataset == "nginx.access"


def test_a_common_line_has_neither_referrer_nor_agent() -> None:
    found = event('::1 - - [22/Nov/2026:01:59:30 +0000] "HEAD / HTTP/1.0" 404 -')
    assert found.ecs["source.ip"] == "::1"
    assert found.ecs["event.outcome"] == "failure"
    assert "http.response.body.bytes" not in found.ecs
    assert "user_agent.original" not in found.ecs


def test_a_virtual_host_in_front_is_read() -> None:
    found = event('www.example.com:443 192.0.2.7 - - [22/Nov/2026:01:59:30 +0000] "GET / HTTP/1.1" 200 5')
    assert found.ecs["url.domain"] == "www.example.com"
    assert found.ecs["source.ip"] == "192.0.2.7"


def test_a_request_that_is_not_http_is_kept_as_it_came() -> None:
    found = event('192.0.2.7 - - [22/Nov/2026:01:59:30 +0000] "\\x16\\x03\\x01\\"" 400 157 "-" "-"')
    assert found.ecs["url.original"] == '\\x16\\x03\\x01\\"'
    assert found.ecs["event.type"] == ["access", "error"]
    assert "http.request.method" not in found.ecs


def test_spaces_and_escaped_quotes_stay_within_their_field() -> None:
    found = event('192.0.2.7 - - [22/Nov/2026:01:59:30 +0000] "GET /a b HTTP/1.1" 200 1 "-" "say \\"hi\\" 1"')
    assert found.ecs["url.path"] == "/a b"
    assert found.ecs["user_agent.original"] == 'say \\"hi\\" 1'


def test_a_line_that_syslog_carries_is_an_access_line() -> None:
    found = event(f"<190>Nov 22 01:59:30 web01 nginx: {COMBINED}")
    assert found.dataset == "nginx.access"
    assert found.ecs["host.name"] == "web01"
    assert found.raw.startswith("<190>")
