"""The books of facts that several tools and specialists read: steps in accounts, steps in a cloud's control plane."""

from __future__ import annotations

from pathlib import Path

from services.agents.toolkit.factbook import FactBook

_KNOWLEDGE = Path(__file__).parent / "knowledge"

ACCOUNT_FACTS = FactBook(_KNOWLEDGE / "accounts.json")
CLOUD_FACTS = FactBook(_KNOWLEDGE / "clouds.json")
