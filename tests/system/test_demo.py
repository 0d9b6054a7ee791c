"""`aurora demo`: finds the recorded intrusion, says so, and leaves nothing behind, however it ends."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.replay.recording import Recording
from shared.config import child_environment
from tests.stack import AURORA, data_folder, wait_until

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where the demo makes its folder."""
    with data_folder() as folder:
        yield folder


def demo(temporary: Path, *arguments: str) -> subprocess.Popen[str]:
    """The demo, running, with its output in pipes."""
    return subprocess.Popen(
        [*AURORA, "demo", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment({"TMPDIR": str(temporary)}),
    )


def processes_of(temporary: Path) -> list[str]:
    """What still runs on a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if str(temporary) in command:
            found.append(command)
    return found


def test_the_demo_finds_every_stage_of_the_recorded_intrusion_and_cleans_up(temporary: Path) -> None:
    with demo(temporary) as running:
        out, err = running.communicate(timeout=240)
    assert running.returncode == 0, out + err
    recording = Recording(ROOT / "samples")
    lines = out.splitlines()
    assert f"{recording.total} of {recording.total} events accepted" in lines
    assert any(line.startswith("alert    ALRT-") for line in lines)
    assert any(line.startswith("verdict  ALRT-") and " malicious " in line for line in lines)
    for name in ("events in", "detections", "alerts", "investigations", "log line to alert", "log line to verdict"):
        assert any(line.startswith(name) for line in lines), name
    for stage in recording.stages():
        assert any(line.startswith(stage) and "2026-" in line for line in lines), stage
    assert "\x1b" not in out + err
    assert list(temporary.iterdir()) == []
    assert processes_of(temporary) == []


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_ended_early_leaves_nothing(temporary: Path, ending: signal.Signals) -> None:
    with demo(temporary) as running:
        assert running.stderr is not None
        assert running.stderr.readline()  # the stack is starting
        running.send_signal(ending)
        running.communicate(timeout=60)
    assert running.returncode == 1
    assert list(temporary.iterdir()) == []
    assert processes_of(temporary) == []


def test_a_demo_that_is_killed_takes_its_stack_along(temporary: Path) -> None:
    with demo(temporary) as running:
        assert running.stderr is not None
        assert running.stderr.readline()
        running.kill()
        running.communicate(timeout=60)
    wait_until(lambda: processes_of(temporary) == [], "the end of the stack")


def test_a_folder_with_something_in_it_is_refused(temporary: Path) -> None:
    (temporary / "mine").write_text("")
    with demo(temporary, f"--data-dir={temporary}") as running:
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (1, f"aurora: {temporary} is not empty: the demo needs a folder of its own\n")
    assert (temporary / "mine").exists()
