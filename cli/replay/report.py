"""The tables at the end of a replay: what was found, by which alert, and how long it took."""

from __future__ import annotations

from collections import Counter

import click
from rich.table import Table

from cli.replay.judgement import Case, Judgement, spread
from cli.replay.recording import Recording
from cli.terminal import output, plain, safe, table

_COLOURS = {"malicious": "bold red", "suspicious": "yellow", "benign": "green"}
_TECHNIQUES = 4


def show(recording: Recording, judgement: Judgement, events: int) -> None:
    """Prints everything; the problems last, on stderr."""
    console = output()
    cases = judgement.cases
    console.print()
    console.print(_alerts(cases))
    console.print()
    console.print(_stages(recording, judgement))
    console.print()
    console.print(_totals(cases, events))
    for problem in judgement.problems:
        click.echo(f"NOT AS EXPECTED: {plain(problem)}", err=True)
    if not judgement.problems:
        console.print(
            f"\nThe intrusion was found in all of its {len(judgement.found)} stages, and nothing else called one."
        )


def _alerts(cases: list[Case]) -> Table:
    rows = table(
        "alert", "severity", "rule", "matches", "verdict", "conf.", "cited", "to alert", "to verdict", "ATT&CK"
    )
    for case in cases:
        found = case.investigation
        verdict = (found.verdict or found.status) if found is not None else "none"
        rows.add_row(
            case.alert.id,
            case.alert.severity,
            safe(case.alert.title),
            str(case.alert.count),
            safe(verdict, _COLOURS.get(verdict, "")),
            f"{found.confidence:.2f}" if found is not None and found.confidence is not None else "",
            str(len(found.citations)) if found is not None else "",
            _seconds(case.seconds_to_alert),
            _seconds(case.seconds_to_verdict),
            safe(_techniques(case)),
        )
    return rows


def _techniques(case: Case) -> str:
    found = case.techniques
    more = f" +{len(found) - _TECHNIQUES}" if len(found) > _TECHNIQUES else ""
    return " ".join(found[:_TECHNIQUES]) + more


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


def _stages(recording: Recording, judgement: Judgement) -> Table:
    rows = table("stage of the intrusion", "ATT&CK", "found by")
    for name, stage in recording.stages().items():
        by = " ".join(identifier.removeprefix("ALRT-") for identifier in judgement.found[name])
        rows.add_row(
            safe(name), safe(" ".join(sorted(stage.techniques))), safe(by or "NOTHING", "" if by else "bold red")
        )
    return rows


def _totals(cases: list[Case], events: int) -> Table:
    found = [case.investigation for case in cases if case.investigation is not None]
    verdicts = Counter(investigation.verdict or investigation.status for investigation in found)
    confidence = [investigation.confidence for investigation in found]
    techniques = {technique for case in cases if case.alarming for technique in case.techniques}
    rows = table("summary", "")
    rows.add_row("events in", str(events))
    rows.add_row("detections", str(sum(case.alert.count for case in cases)))
    rows.add_row("alerts", str(len(cases)))
    rows.add_row("investigations", safe(", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())))
    rows.add_row("confidence", _spread(spread(confidence), ""))
    rows.add_row("ATT&CK techniques", str(len(techniques)))
    rows.add_row("citations", str(sum(len(investigation.citations) for investigation in found)))
    rows.add_row("log line to alert", _spread(spread([case.seconds_to_alert for case in cases]), " s"))
    rows.add_row("log line to verdict", _spread(spread([case.seconds_to_verdict for case in cases]), " s"))
    return rows


def _spread(values: tuple[float, float] | None, unit: str) -> str:
    return "" if values is None else f"median {values[0]:.2f}{unit}, max {values[1]:.2f}{unit}"
