"""What a person sees while the replay runs: alerts and verdicts, with progress bars on a terminal, plain in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli.replay.following import Audience
from cli.terminal import output, safe
from shared.contracts.alerts import Alert
from shared.contracts.investigations import Investigation

_COLOURS = {"malicious": "bold red", "suspicious": "yellow", "benign": "green"}
_LINES = 10


class Watcher:
    """Told of everything that happens; `progress` is None where nobody looks at bars."""

    def __init__(self, total: int, console: Console, progress: Progress | None) -> None:
        self._total = total
        self._console = console
        self._progress = progress
        self._sent = self._alerts = self._verdicts = 0
        names = {"events accepted": total, "investigations ended": 0}
        self._tasks = {name: progress.add_task(name, total=count) for name, count in names.items()} if progress else {}

    def audience(self) -> Audience:
        """For whoever follows the alerts."""
        return Audience(self._alert, self._verdict)

    def sent(self, lines: int) -> None:
        """So many more lines were accepted."""
        before, self._sent = self._sent, self._sent + lines
        if self._progress is not None:
            self._progress.update(self._tasks["events accepted"], completed=self._sent)
        elif before * _LINES // self._total != self._sent * _LINES // self._total:
            self._console.print(f"{self._sent} of {self._total} events accepted")

    def _alert(self, alert: Alert) -> None:
        self._alerts += 1
        self._console.print(Text.assemble("alert    ", alert.id, " ", safe(alert.severity), "  ", safe(alert.title)))
        self._update()

    def _verdict(self, investigation: Investigation) -> None:
        self._verdicts += 1
        verdict = investigation.verdict or investigation.status
        about = ", ".join(investigation.alert_ids)
        confidence = f" {investigation.confidence:.2f}" if investigation.confidence is not None else ""
        told = safe(f"{verdict}{confidence}", _COLOURS.get(verdict, ""))
        self._console.print(Text.assemble("verdict  ", safe(about), " ", told))
        self._update()

    def _update(self) -> None:
        if self._progress is not None:
            task = self._tasks["investigations ended"]
            self._progress.update(task, total=self._alerts, completed=self._verdicts)


@contextmanager
def watcher(total: int) -> Iterator[Watcher]:
    """A watcher for a replay of so many lines, on stdout."""
    console = output()
    if not console.is_terminal:
        yield Watcher(total, console, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield Watcher(total, console, progress)
