"""Clients of the API that nobody here wrote: requests and openai with a bearer token, promtool, Prometheus itself."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from shared.identity import Signer
from tests.stack import Stack, data_folder, running_stack, wait_until

PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")
SCRAPE = """
global: {{ scrape_interval: 1s }}
scrape_configs:
  - job_name: aurora
    metrics_path: /metrics
    authorization: {{ type: Bearer, credentials_file: {token_file} }}
    static_configs: [ {{ targets: ["{target}"] }} ]
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with data_folder() as folder, running_stack(folder) as running:
        yield running


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    return stack.runtime.gateway


@pytest.fixture(scope="module")
def token(stack: Stack) -> str:
    return stack.admin_token()


@pytest.fixture(scope="module")
def http(token: str) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        yield session


def test_requests_signs_in_and_works_with_a_bearer_token(stack: Stack, url: str) -> None:
    password = Path(stack.runtime.admin.password_file).read_text().strip()
    form = {"grant_type": "password", "username": "admin", "password": password}
    with requests.Session() as session:
        answer = session.post(f"{url}/api/v1/auth/token", data=form, timeout=30)
        session.headers["Authorization"] = f"{answer.json()['token_type']} {answer.json()['access_token']}"
        created = session.post(f"{url}/api/v1/alerts", json={"title": "seen by requests"}, timeout=30)
        assert created.status_code == 201
        got = session.get(f"{url}/api/v1/alerts/{created.json()['id']}", timeout=30)
        assert got.json()["title"] == "seen by requests"
        assert got.headers["X-API-Version"] == "1.0"


def test_requests_raises_for_what_is_refused(url: str, http: requests.Session) -> None:
    with pytest.raises(requests.HTTPError) as refused:
        http.get(f"{url}/api/v1/alerts/ALRT-1999-000001", timeout=30).raise_for_status()
    assert refused.value.response.json()["error"]["code"] == "AURORA-4042"
    anonymous = requests.get(f"{url}/api/v1/alerts", timeout=30)
    assert (anonymous.status_code, anonymous.headers["WWW-Authenticate"]) == (401, 'Bearer realm="aurora"')
    for media_type, body in (("application/json", "{"), ("application/xml", "<a/>"), ("application/json", "{}")):
        answer = http.post(f"{url}/api/v1/alerts", data=body, headers={"Content-Type": media_type}, timeout=30)
        assert answer.json()["error"]["request_id"] == answer.headers["X-Request-ID"]


def _openai(url: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/api/v1", api_key=key, max_retries=0, timeout=30)


def _complete(client: openai.OpenAI) -> Any:
    return client.chat.completions.create(model="aurora", messages=[{"role": "user", "content": "hello"}])


def test_openai_tells_an_unknown_key_as_what_it_is(url: str) -> None:
    with _openai(url, "aur_nobody") as client, pytest.raises(openai.AuthenticationError) as refused:
        client.get("/users/me", cast_to=object)
    assert refused.value.code == "AURORA-4012"
    assert refused.value.request_id == refused.value.response.headers["X-Request-ID"]


def test_openai_works_with_a_bearer_token_and_tells_refusals_apart(url: str, token: str) -> None:
    with _openai(url, token) as client:
        who: Any = client.get("/users/me", cast_to=object)
        assert who["username"] == "admin"
        with pytest.raises(openai.NotFoundError) as missing:
            client.get("/alerts/ALRT-1999-000001", cast_to=object)
        assert missing.value.code == "AURORA-4042"
        with pytest.raises(openai.UnprocessableEntityError) as invalid:
            client.get("/alerts?limit=0", cast_to=object)
        assert invalid.value.code == "AURORA-4220"
        # Chat isn't served yet: its refusal must read as one all the same.
        with pytest.raises(openai.NotFoundError) as unserved:
            _complete(client)
        assert unserved.value.code == "AURORA-4040"


def _metrics(stack: Stack, http: requests.Session) -> dict[str, bytes]:
    """What each service tells Prometheus, by its name."""
    key = (stack.data_dir / "secrets" / "gateway.key").read_text()
    signer = Signer("gateway", key)
    told = {"gateway": http.get(f"{stack.runtime.gateway}/metrics", timeout=30).content}
    for name in ("siem", "orchestrator", "agents"):
        inside = {"Authorization": f"Bearer {signer.own_token(name)}"}
        answer = requests.get(f"{stack.runtime.services[name].url}/metrics", headers=inside, timeout=30)
        assert answer.status_code == 200
        told[name] = answer.content
    return told


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_finds_nothing_in_the_metrics_of_any_service(stack: Stack, http: requests.Session) -> None:
    assert PROMTOOL is not None
    http.get(f"{stack.runtime.gateway}/api/v1/alerts", timeout=30)
    for name, told in _metrics(stack, http).items():
        assert b"# HELP" in told
        checked = subprocess.run(
            [PROMTOOL, "check", "metrics"], check=False, input=told, capture_output=True, timeout=60
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, b""), name


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed (Debian: prometheus)")
def test_prometheus_scrapes_the_gateway_with_a_token(url: str, token: str, tmp_path: Path) -> None:
    assert PROMETHEUS is not None
    (tmp_path / "token").write_text(token)
    target = urllib.parse.urlsplit(url).netloc
    (tmp_path / "prometheus.yml").write_text(SCRAPE.format(token_file=tmp_path / "token", target=target))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [PROMETHEUS, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    with (tmp_path / "log").open("wb") as log:
        scraper = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        wait_until(lambda: _query(address, "up{job='aurora'}") == ["1"], "a scrape of the gateway")
        wait_until(lambda: bool(_query(address, "aurora_http_requests_total")), "a counter of the gateway")
    finally:
        scraper.terminate()
        scraper.wait(timeout=30)


def _query(address: str, text: str) -> list[str]:
    """The values of a query, none while Prometheus isn't there yet."""
    try:
        with urllib.request.urlopen(f"http://{address}/api/v1/query?query={urllib.parse.quote(text)}") as answer:
            found = json.load(answer)["data"]["result"]
    except OSError:
        return []
    return [one["value"][1] for one in found]
