"""`python -m benchmarks [NAME...]`: each workload beside its floor; one table, and one JSON file under results/."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import (
    differential,
    engine,
    gateway,
    ingest,
    injection,
    investigations,
    latency,
    retro,
    rpc,
    search,
    streams,
    verdicts,
)

WORKLOADS: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
    "rpc": rpc.run,
    "gateway": gateway.run,
    "streams": streams.run,
    "ingest": ingest.run,
    "words": search.words,
    "latest": search.latest,
    "engine": engine.run,
    "latency": latency.run,
    "investigations": investigations.run,
    "retro": retro.run,
    "differential": differential.run,
    "verdicts": verdicts.run,
    "injection": injection.run,
}
#: Not among those that run when none is named: they compare, and take long.
_ONLY_BY_NAME = {"differential", "verdicts", "injection"}
#: What a workload calls its own figure.
_OURS = ("per_second", "calls_per_second", "line_to_alert_p50_ms", "investigations_per_minute")
RESULTS = Path(__file__).parent / "results"


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table(title="Aurora beside its floors (medians)")
    for name in ("workload", "ours", "floor", "ratio", "unit", "what else was measured"):
        table.add_column(name, justify="right" if name in ("ours", "floor", "ratio") else "left")
    for result in results:
        ours = next((result[name] for name in _OURS if name in result), "")
        shown = {"name", "unit", "ratio", "floor_per_second", *_OURS}
        rest = ", ".join(f"{key} {value}" for key, value in result.items() if key not in shown)
        table.add_row(
            result["name"],
            f"{ours}",
            f"{result.get('floor_per_second', '')}",
            f"{result.get('ratio', '')}",
            result["unit"],
            rest,
        )
    return table


async def _run(name: str) -> dict[str, Any]:
    return await WORKLOADS[name]()


def main(names: list[str]) -> int:
    """The exit code: 2 for a name that is no workload."""
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        print(f"no such workload: {', '.join(unknown)}; there are {', '.join(WORKLOADS)}", file=sys.stderr)
        return 2
    console = Console()
    results = []
    for name in names or [name for name in WORKLOADS if name not in _ONLY_BY_NAME]:
        console.print(f"measuring {name} ...")
        # rpc has both ends in this process; the other loads are only clients of servers that choose their own loop.
        runner = uvloop.run if name == "rpc" else asyncio.run
        results.append(runner(_run(name)))
    moment = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{moment:%Y%m%dT%H%M%SZ}.json"
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    file.write_text(json.dumps({"measured_at": moment.isoformat(), "machine": machine, "results": results}, indent=2))
    console.print(_table(results))
    console.print(f"written to {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
