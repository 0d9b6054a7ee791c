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


LEVELS = """
from shared import log

log.configure("test", "warning")
logger = log.get_logger("test")
logger.info("too low")
log.set_level("debug")
logger.debug("low enough now")
log.set_level("error")
logger.warning("too low again")
logger.error("heard")
"""


def test_the_level_follows_for_loggers_that_are_there_already() -> None:
    ended = subprocess.run([sys.executable, "-c", LEVELS], capture_output=True, check=True, timeout=30)
    assert [orjson.loads(line)["message"] for line in ended.stderr.splitlines()] == ["low enough now", "heard"]
