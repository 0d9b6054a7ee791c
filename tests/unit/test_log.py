"""What a log line may hold."""

from __future__ import annotations

import subprocess
import sys

import orjson

PROGRAM = """
from shared import log

log.configure("test")

def sign_in(password):
    raise ValueError("refused")

try:
    sign_in("correct horse battery staple")
except ValueError:
    log.get_logger("test").error("failed", exc_info=True, api_token="tr0ub4dor")
"""


def test_an_exception_is_logged_with_its_place_and_without_secrets() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, timeout=30)
    record = orjson.loads(ended.stderr)
    [exception] = record["exception"]
    assert (exception["exc_type"], exception["exc_value"]) == ("ValueError", "refused")
    assert [frame["name"] for frame in exception["frames"]] == ["<module>", "sign_in"]
    assert b"correct horse" not in ended.stderr
    assert b"tr0ub4dor" not in ended.stderr
