"""Small feeds of intelligence, as their producers write them; the values in them are the test's own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

MALWARE, ACTOR, TECHNIQUE = (f"{kind}--{uuid.uuid4()}" for kind in ("malware", "intrusion-set", "attack-pattern"))
AMBER = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
_NAMES: Sequence[Mapping[str, Any]] = (
    {"type": "malware", "id": MALWARE, "name": "Duskrat", "is_family": True},
    {"type": "intrusion-set", "id": ACTOR, "name": "Quiet Heron"},
    {
        "type": "attack-pattern",
        "id": TECHNIQUE,
        "name": "Web Protocols",
        "external_references": [{"source_name": "mitre-attack", "external_id": "T1071.001"}],
    },
)


def indicator(pattern: str, **fields: Any) -> dict[str, Any]:
    """A STIX indicator."""
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{uuid.uuid4()}",
        "pattern": pattern,
        "pattern_type": "stix",
        "valid_from": "2026-01-01T00:00:00Z",
        **fields,
    }


def bundle(*objects: Mapping[str, Any], named: bool = True) -> bytes:
    """A bundle of these; each indicator indicates the malware, the actor and the technique, unless not `named`."""
    related = [
        {
            "type": "relationship",
            "id": f"relationship--{uuid.uuid4()}",
            "relationship_type": "indicates",
            "source_ref": item["id"],
            "target_ref": target,
        }
        for item in objects
        if named and item.get("type") == "indicator"
        for target in (MALWARE, ACTOR, TECHNIQUE)
    ]
    return orjson.dumps({"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": [*objects, *_NAMES, *related]})


def misp_event(*attributes: Mapping[str, Any], tags: Sequence[str] = ()) -> bytes:
    """An event of MISP."""
    event = {
        "uuid": str(uuid.uuid4()),
        "info": "Phishing wave",
        "date": "2026-03-01",
        "Tag": [{"name": name} for name in tags],
        "Attribute": [{"uuid": str(uuid.uuid4()), "to_ids": True, **attribute} for attribute in attributes],
    }
    return orjson.dumps({"Event": event})


def kev(*cves: str) -> bytes:
    """CISA's catalogue with these."""
    rows = [
        {
            "cveID": cve,
            "vendorProject": "Acme",
            "product": "Gateway",
            "vulnerabilityName": "Acme Gateway command injection",
            "dateAdded": "2026-02-03",
            "shortDescription": "A request can carry a command.",
            "dueDate": "2026-02-24",
            "knownRansomwareCampaignUse": "Known",
        }
        for cve in cves
    ]
    return orjson.dumps({"title": "CISA KEV", "catalogVersion": "2026.02.03", "vulnerabilities": rows})
