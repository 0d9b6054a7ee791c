"""YARA rules over bytes: the only importer of yara_x. Compiles Aurora's own rules and those of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yara_x

_SECONDS = 10
_MOST = 24
_MATCHES = 8
_META = ("description", "weight", "technique", "author", "reference")
_TEXT = 200


class Rules:
    """Compiled rules. `ignored` counts those of the operator that couldn't be compiled."""

    def __init__(self, own: Path, others: Iterable[Path]) -> None:
        """Reads `own`, and every .yar and .yara file of the folders; each file is a namespace of its own."""
        compiler = yara_x.Compiler(relaxed_re_syntax=True, includes_enabled=False)
        compiler.ignore_invalid_rules(True)
        for file in [own, *(file for folder in others for file in _files(folder))]:
            compiler.new_namespace(file.stem)
            compiler.add_source(file.read_text(encoding="utf-8", errors="replace"))
        self.ignored = len(compiler.errors())
        self._rules = compiler.build()

    def scan(self, data: bytes) -> dict[str, Any]:
        """The rules that match. Raises yara_x.TimeoutError after 10 s, yara_x.ScanError when scanning failed."""
        scanner = yara_x.Scanner(self._rules)
        scanner.set_timeout(_SECONDS)
        scanner.max_matches_per_pattern(_MATCHES)
        found = scanner.scan(data).matching_rules
        return {"rules": [_told(rule) for rule in found[:_MOST]], "rules_ignored": self.ignored}


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix in (".yar", ".yara") and file.is_file())


def _told(rule: yara_x.Rule) -> dict[str, Any]:
    meta = {name: str(value)[:_TEXT] for name, value in rule.metadata if name in _META}
    matched = [pattern.identifier for pattern in rule.patterns if pattern.matches]
    return {"rule": rule.identifier[:80], "file": rule.namespace[:80], "meta": meta, "matched": matched[:_MATCHES]}
