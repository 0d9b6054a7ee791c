"""What a part that is down means for users. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shared.contracts.system import Health, HealthCheck, HealthStatus

#: What is reduced while a part of the installation is down.
CAPABILITIES: Mapping[str, tuple[str, ...]] = {
    "database": ("sign-in",),
    "redis": ("every request that needs a sign-in",),
    "nats": ("live streams",),
    "siem": ("log intake", "log search", "detection", "alerts"),
    "orchestrator": ("investigations",),
    "agents": ("analysis by agents",),
    "edr": ("endpoints",),
    "soar": ("cases", "playbooks"),
}


def check_of(name: str, answer: Health | None) -> HealthCheck:
    """A service's own health in one sentence; None when it gave none."""
    if answer is None:
        return HealthCheck("unhealthy", f"{name} does not answer, or says that it can't work")
    if answer.overall_status == "healthy":
        return HealthCheck("healthy", f"{name} is healthy")
    reduced = ", ".join(answer.degraded) or "no part named"
    return HealthCheck(answer.overall_status, f"{name} is {answer.overall_status}: {reduced}")


def degraded(checks: Mapping[str, HealthCheck]) -> list[str]:
    """Every capability that is reduced, each once."""
    reduced: dict[str, None] = {}
    for name, check in checks.items():
        if check.status != "healthy":
            reduced.update(dict.fromkeys(CAPABILITIES.get(name, (name,))))
    return list(reduced)


def overall(own: HealthStatus, checks: Mapping[str, HealthCheck]) -> HealthStatus:
    """Unhealthy when the gateway itself is. A service that is down takes its capabilities away, not the rest."""
    if own == "healthy" and any(check.status != "healthy" for check in checks.values()):
        return "degraded"
    return own
