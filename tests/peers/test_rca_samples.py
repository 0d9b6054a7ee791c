"""The RCA page's own samples, as they stand there, against the local stack: Python with requests, JavaScript, cURL.

Only the address of the server is replaced. What this version doesn't serve yet (chat, incidents) answers 404 in the
page's form, which is what the samples' clients can read.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import data_folder, running_stack

PAGE = Path(__file__).parents[3] / "shared" / "spec" / "000_1e177221fc1b21b9.txt"
PASSWORD = "password123"
SECONDS = 60


def _sample(language: str, following: str) -> str:
    """The text of a language's samples."""
    if not PAGE.exists():
        pytest.skip("the API pages are not beside this checkout (../shared/spec)")
    section = PAGE.read_text().split("\nCode Examples\n")[1]
    found = re.search(rf"\n{re.escape(language)}\n(.*?)\n{re.escape(following)}", section, re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture(scope="module")
def stack() -> Iterator[str]:
    """The URL of a stack on which the samples' user has registered, as the page says."""
    email = json.loads('"' + re.findall(r'"email": "(.*?)"', _sample("Python", "JavaScript/TypeScript"))[0] + '"')
    # Whatever the caller's environment says: this is about the stack as it comes.
    unset = {name: value for name, value in os.environ.items() if name.startswith("AURORA_")}
    assert not unset.keys() & {"AURORA_TRUSTED_PROXIES", "AURORA_REGISTRATION"}
    with data_folder() as folder, running_stack(folder) as running:
        url = running.runtime.gateway
        status, _ = _post(f"{url}/api/auth/register", {"email": email, "password": PASSWORD, "name": "John Doe"})
        assert status == 201
        yield url


def _post(url: str, body: Any, **headers: str) -> tuple[int, Any]:
    named = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(url, json.dumps(body).encode(), named)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())


def _run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _require_user(user: Any) -> None:
    assert user.keys() == {"id", "email", "name"}
    assert re.fullmatch(r"user_[a-z2-7]{26}", user["id"])
    assert user["name"] == "John Doe"


def test_the_python_sample_signs_in_with_requests(stack: str) -> None:
    if importlib.util.find_spec("requests") is None:
        pytest.skip("requests is not installed")
    sample = _sample("Python", "JavaScript/TypeScript").replace("http://localhost:5080", stack)
    shown = _run([sys.executable, "-"], f"{sample}\nimport json\nprint(json.dumps([user, session]))\n")
    user, session = json.loads(shown)
    _require_user(user)
    assert "id" in session or session == {"error": "Resource not found", "code": "AURORA-4040"}


def test_the_javascript_sample_signs_in_with_fetch(stack: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    sample = _sample("JavaScript/TypeScript", "cURL").replace("http://localhost:5080", stack)
    shown = _run(
        [node, "--input-type=module", "-"], f"{sample}\nconsole.log(JSON.stringify([user, sessions.status, data]));\n"
    )
    user, status, data = json.loads(shown)
    _require_user(user)
    assert "sessions" in data or (status, data["code"]) == (404, "AURORA-4040")


def test_the_curl_samples_sign_in_and_get_answers_in_the_pages_form(stack: str) -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("curl and bash are not installed")
    text = _sample("cURL", "Build docs").replace("http://localhost:5080", stack)
    login, incidents, update = (part for part in re.split(r"\n(?=# )", text.strip()))
    _require_user(json.loads(_run(["bash"], login.replace("curl ", "curl -sS "))))
    for command in (incidents, update):
        answer = json.loads(_run(["bash"], command.replace("curl ", "curl -sS ")))
        assert answer.keys() & {"incidents", "incident", "error"}


def test_the_header_of_the_samples_is_believed_on_loopback(stack: str) -> None:
    email = re.findall(r'"email": "(.*?)"', _sample("Python", "JavaScript/TypeScript"))[0]
    _, user = _post(f"{stack}/api/auth/login", {"email": email, "password": PASSWORD})
    body = {"currentPassword": "not this one", "newPassword": "newsecurepassword"}
    status, answer = _post(f"{stack}/api/auth/change-password", body, X_User_ID=user["id"])
    assert (status, answer["code"]) == (401, "AURORA-4012")
    body["currentPassword"] = PASSWORD
    for current, new in ((PASSWORD, "newsecurepassword"), ("newsecurepassword", PASSWORD)):
        body = {"currentPassword": current, "newPassword": new}
        status, answer = _post(f"{stack}/api/auth/change-password", body, X_User_ID=user["id"])
        assert (status, answer) == (200, {"message": "Password changed successfully"})
