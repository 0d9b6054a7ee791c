"""CISA's catalogue of known exploited vulnerabilities, as JSON and as CSV. Pure."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

import msgspec

from services.siem.intel.domain import Collected, Vulnerability, text
from services.siem.intel.formats.times import day
from shared.observables import cve_of


class _Catalogue(msgspec.Struct):
    vulnerabilities: list[dict[str, Any]] = []


def read(body: bytes, collected: Collected) -> None:
    """Every vulnerability of a catalogue. Raises msgspec.DecodeError for JSON that is none."""
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        for place, row in enumerate(msgspec.json.decode(body, type=_Catalogue).vulnerabilities, start=1):
            _row(row, f"entry {place}", collected)
        return
    lines = body.decode("utf-8-sig", "replace").replace("\x00", "").splitlines()
    place = 0
    try:
        for place, row in enumerate(csv.DictReader(lines), start=1):
            _row(row, f"entry {place}", collected)
    except csv.Error:  # a field beyond the limit of the module: what follows it can't be told apart
        collected.skip(f"entry {place + 1}", "a row that can't be read, and all behind it")


def _row(row: Mapping[str, Any], place: str, collected: Collected) -> None:
    cve = cve_of(str(row.get("cveID") or ""))
    if cve is None:
        collected.skip(place, "no CVE id")
        return
    collected.add_vulnerability(
        Vulnerability(
            cve=cve,
            vendor=text(row.get("vendorProject") or "", 200),
            product=text(row.get("product") or "", 200),
            name=text(row.get("vulnerabilityName") or "", 300),
            description=text(row.get("shortDescription") or ""),
            exploited=True,
            ransomware=str(row.get("knownRansomwareCampaignUse") or "").strip().lower() == "known",
            added=day(str(row.get("dateAdded") or "")),
            due=day(str(row.get("dueDate") or "")),
        )
    )
