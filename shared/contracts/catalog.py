"""Imports every contract module, so that the four tables hold every constant there is."""

from shared import errors
from shared.contracts import (
    agents,
    alerts,
    coverage,
    detections,
    doors_elasticsearch,
    doors_loki,
    doors_otlp,
    doors_splunk,
    explanations,
    feedback,
    hunts,
    identity,
    investigations,
    keys,
    logs,
    promotion,
    rule_versions,
    runs,
    suppressions,
    system,
)
from shared.contracts.constants import ENDPOINTS, ERROR_CODES, METHODS, TOPICS

__all__ = ["ENDPOINTS", "ERROR_CODES", "METHODS", "TOPICS"]
MODULES = (
    agents,
    alerts,
    coverage,
    detections,
    doors_elasticsearch,
    doors_loki,
    doors_otlp,
    doors_splunk,
    errors,
    explanations,
    feedback,
    hunts,
    identity,
    investigations,
    keys,
    logs,
    promotion,
    rule_versions,
    runs,
    suppressions,
    system,
)
