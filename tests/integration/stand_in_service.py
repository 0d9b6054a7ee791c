"""A stand-in service for tests of the supervisor: answers its health probes, on its own port and on its agents'.

Run as `python stand_in_service.py NAME` with the environment that a service gets. It says what it was given in
D/seen-NAME.json (names of variables only) and dies at once when D/fail-NAME exists.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Probe(BaseHTTPRequestHandler):
    """200 for readiness."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/readiness" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main(name: str) -> None:
    """Serves until SIGTERM."""
    folder = Path(os.environ["AURORA_DATA_DIR"])
    if (folder / f"fail-{name}").exists():
        sys.exit(f"{name} was told to fail")
    ports = [int(os.environ["AURORA_HTTP_PORT"])]
    if name == "agents":
        ports += [int(url.rpartition(":")[2]) for url in json.loads(os.environ["AURORA_AGENT_URLS"]).values()]
    for port in ports:
        server = ThreadingHTTPServer(("127.0.0.1", port), Probe)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    seen = {key: value for key, value in os.environ.items() if key.startswith("AURORA_")}
    (folder / f"seen-{name}.json").write_text(json.dumps(seen))
    signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(sys.argv[1])
