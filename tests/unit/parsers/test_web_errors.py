"""Error logs of apache and nginx."""

from datetime import UTC, datetime

import pytest

from tests.unit.parsers.parsing import event

APACHE = (
    "[Sun Nov 22 10:00:00.123456 2026] [authz_core:error] [pid 812:tid 140] [client 203.0.113.4:50022] "
    "AH01630: client denied by server configuration: /var/www/.git"
)
NGINX = (
    '2026/11/22 10:00:00 [error] 77#78: *45 open() "/srv/www/.env" failed (2: No such file or directory), '
    'client: 203.0.113.4, server: www.example.org, request: "GET /.env HTTP/1.1", host: "www.example.org"'
)


def test_an_apache_line_has_its_module_client_and_code() -> None:
    found = event(APACHE)
    assert found.dataset == "apache.error"
    assert found.timestamp == datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
    assert (found.ecs["source.ip"], found.ecs["source.port"]) == ("203.0.113.4", 50022)
    assert (found.ecs["log.level"], found.ecs["event.code"], found.ecs["process.pid"]) == ("error", "AH01630", 812)
    assert found.views[0].fields["module"] == "authz_core"
    assert found.message.startswith("AH01630: client denied")


def test_the_older_form_of_apache_is_read_too() -> None:
    found = event("[Sun Nov 22 10:00:00 2026] [notice] child pid 12 exit signal Segmentation fault (11)")
    assert found.dataset == "apache.error"
    assert "exit signal Segmentation fault" in found.views[0].fields["message"]


def test_an_nginx_line_has_its_request() -> None:
    found = event(NGINX)
    assert found.dataset == "nginx.error"
    assert found.ecs["source.ip"] == "203.0.113.4"
    assert (found.ecs["http.request.method"], found.ecs["url.original"]) == ("GET", "/.env")
    assert found.ecs["url.domain"] == "www.example.org"
    assert found.timestamp == datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(("line", "server"), [(APACHE, "apache"), (NGINX, "nginx")])
def test_sigma_sees_the_servers_service_and_no_requests(line: str, server: str) -> None:
    (seen,) = event(line).views
    assert (seen.product, seen.category) == (server, None)
    assert server in seen.services


def test_a_crash_of_a_worker_is_read() -> None:
    found = event("2026/11/22 10:00:00 [alert] 5#5: worker process 9 exited on signal 6 (core dumped)")
    assert found.ecs["log.level"] == "alert"


@pytest.mark.parametrize("address", ["2001:db8::9", "[2001:db8::9]:443"])
def test_an_address_of_six_is_no_port(address: str) -> None:
    assert event(APACHE.replace("203.0.113.4:50022", address)).ecs["source.ip"] == "2001:db8::9"


def test_an_error_line_inside_syslog_is_unwrapped() -> None:
    found = event(f"<187>Nov 22 10:00:01 web01 nginx: {NGINX}")
    assert (found.dataset, found.ecs["host.name"]) == ("nginx.error", "web01")
