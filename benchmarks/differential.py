"""All outside rules over all outside events, three ways: streaming, rule by rule, over the past. No timing of its own:
it fails on the first run that differs, and says what was compared."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.differential import compare


async def run() -> dict[str, Any]:
    """What was compared; raises RuntimeError with up to ten of the differences."""
    began = time.perf_counter()
    compared = await asyncio.to_thread(compare, 1, None)
    if compared.differences:
        raise RuntimeError(f"{len(compared.differences)} differences, among them {compared.differences[:10]}")
    return {
        "name": "differential",
        "unit": "matches",
        "events": compared.events,
        "rules": compared.rules,
        "rules_alone": compared.rules_alone,
        "matches": compared.matches,
        "rules_that_matched": compared.rules_that_matched,
        "differences": 0,
        "seconds": round(time.perf_counter() - began),
    }
