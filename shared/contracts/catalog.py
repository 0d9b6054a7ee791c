"""Imports every contract module, so that the four tables hold every constant there is."""

from shared import errors
from shared.contracts import (
    agents,
    alerts,
    detections,
    identity,
    investigations,
    logs,
    system,
)
from shared.contracts.constants import ENDPOINTS, ERROR_CODES, METHODS, TOPICS

__all__ = ["ENDPOINTS", "ERROR_CODES", "METHODS", "TOPICS"]
MODULES = (agents, alerts, detections, errors, identity, investigations, logs, system)
