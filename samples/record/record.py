"""Records samples/recorded: builds web01, runs administration, visitors and the intrusion on it, collects the logs.

Run as root with paramiko, debootstrap and util-linux at hand: `python record.py BUILD_FOLDER` (about ten minutes),
then `python label.py`.
Owns the timetable and the collecting. The logs are copied byte for byte; the times and outcomes are those of the
run. Everything started here ends here, and the throw-away accounts exist in the build folder only.
"""

from __future__ import annotations

import datetime as dt
import http.server
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import host
import paramiko
from administration import administrate
from intrusion import ATTACKER, USER, Intrusion, Payloads, listen
from visitors import visitors

OUT = host.HERE.parent / "recorded"
RUN_SECONDS = 540
INTRUSION_AFTER = 110
LOGS = {
    "var/spool/shipper/auth.log": "auth.log",
    "var/spool/shipper/cron.log": "cron.log",
    "var/log/nginx/access.log": "nginx-access.log",
    "var/log/audit/audit.log": "audit.log",
}


def record(root: Path) -> None:
    """Build, run, collect. Raises when a session or a stage failed: such a recording is not kept."""
    passwords = {"alice": secrets.token_urlsafe(12), "bob": secrets.token_urlsafe(12), USER: "Summer2026"}
    key = paramiko.RSAKey.generate(3072)
    host.build(root, passwords, f"ssh-rsa {key.get_base64()} alice@desk\n")
    errors: list[BaseException] = []
    intrusion = Intrusion(passwords[USER])
    with host.mounted(root), host.serving(root):
        began, begin = dt.datetime.now(dt.UTC), time.monotonic()
        background = [*administrate(passwords, key, errors), *visitors(RUN_SECONDS, errors)]
        time.sleep(INTRUSION_AFTER)
        _intrude(intrusion, until=begin + RUN_SECONDS)
        for thread in background:
            thread.join(timeout=RUN_SECONDS)
        seconds = round(time.monotonic() - begin)
    if errors:
        raise ExceptionGroup("the background went wrong", [error for error in errors if isinstance(error, Exception)])
    _collect(
        root,
        {"recorded_at": began.isoformat(timespec="seconds"), "duration_seconds": seconds, "marks": intrusion.marks},
    )


def _intrude(intrusion: Intrusion, until: float) -> None:
    """Run the intrusion, then keep its web server up, so that the cron job it left finds something to fetch."""
    stop = threading.Event()
    listener = threading.Thread(target=listen, args=(stop,))
    with http.server.ThreadingHTTPServer((ATTACKER, 8000), Payloads) as server:
        threading.Thread(target=server.serve_forever).start()
        listener.start()
        try:
            intrusion.run()
            time.sleep(max(0.0, until - time.monotonic()))
        finally:
            stop.set()
            server.shutdown()
            listener.join(timeout=10)


def _collect(root: Path, facts: dict[str, object]) -> None:
    OUT.mkdir(exist_ok=True)
    for source, target in LOGS.items():
        shutil.copyfile(root / source, OUT / target)
    (OUT / "run.json").write_text(json.dumps({**facts, "host": host.NAME, "attacker": ATTACKER}, indent=2) + "\n")


def main() -> None:
    """Enter namespaces of our own (by re-executing under unshare), then record into BUILD_FOLDER/web01."""
    folder = Path(sys.argv[1]).resolve()
    if os.environ.get("RECORD_INSIDE") != "1":
        os.environ["RECORD_INSIDE"] = "1"
        own = ("unshare", "--net", "--uts", "--ipc", "--mount", "--propagation", "private")
        os.execvp("unshare", (*own, sys.executable, __file__, str(folder)))
    subprocess.run(["hostname", host.NAME], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    folder.mkdir(parents=True, exist_ok=True)
    record(folder / host.NAME)


if __name__ == "__main__":
    main()
