"""Runs schemathesis against a whole stack: for tests/system, and by `make fuzz-api` for as long as one likes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from shared.config import child_environment
from tests.stack import Stack, data_folder, running_stack

ROOT = Path(__file__).parents[1]
#: Whoever fuzzes isn't throttled, and hashing its passwords doesn't take the time.
SETTINGS = {
    "AURORA_REQUESTS_PER_MINUTE": "1000000",
    "AURORA_RCA_REQUESTS_PER_MINUTE": "1000000",
    "AURORA_LOGIN_ATTEMPTS_PER_MINUTE": "1000000",
    "AURORA_PASSWORD_COST": "10",
}
PHASES = ("coverage", "fuzzing", "stateful")


def fuzz(stack: Stack, seconds: int, *options: str, live: bool = False) -> tuple[int, str]:
    """Exit code and output of a run that ends after `seconds`; with `live` the output goes to the terminal."""
    url = stack.runtime.gateway
    password = Path(stack.runtime.admin.password_file).read_text(encoding="utf-8").strip()
    config = f"--config-file={ROOT / 'tests' / 'schemathesis.toml'}"
    described = f"{url}/api/v1/openapi.json"
    bounded = (f"--url={url}", f"--max-time={seconds}", "--continue-on-failure", "--no-color")
    ended = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", config, "run", described, *bounded, *options],
        check=False,
        cwd=ROOT,
        env=child_environment({"AURORA_FUZZ_URL": url, "AURORA_FUZZ_PASSWORD": password}),
        stdout=None if live else subprocess.PIPE,
        stderr=None if live else subprocess.STDOUT,
        text=True,
        timeout=seconds + 120,
    )
    return ended.returncode, ended.stdout or ""


def main() -> int:
    """`python -m tests.fuzz_run SECONDS [SEED]`: each phase has its share; 0 when nothing was found."""
    seconds = int(sys.argv[1])
    seed = [f"--seed={sys.argv[2]}"] if len(sys.argv) > 2 else []
    with data_folder() as folder, running_stack(folder, **SETTINGS) as stack:
        codes = [fuzz(stack, seconds // len(PHASES), f"--phases={phase}", *seed, live=True)[0] for phase in PHASES]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
