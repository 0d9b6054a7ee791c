"""What the gateway can be told from outside: keys, the addresses behind it, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GatewaySettings:
    """Read from AURORA_<FIELD>. Times in seconds, limits per minute."""

    #: Ed25519 key (PEM) that signs access tokens.
    token_key_file: Path
    #: Public keys (a JWK set) whose access tokens are taken beside that key's own, while keys are replaced.
    token_jwks_file: Path | None = None
    #: The first start creates `admin` with the password in this file; later starts don't read it.
    admin_password_file: Path | None = None
    #: Where each service behind the gateway listens; empty means that it isn't deployed.
    siem_url: str = ""
    orchestrator_url: str = ""
    edr_url: str = ""
    soar_url: str = ""
    agents_url: str = ""
    #: The one foreign origin whose pages may call this API (CORS), for example https://soc.example.org.
    frontend_url: str = ""
    #: Addresses or networks whose X-Forwarded-For is believed.
    trusted_proxies: tuple[str, ...] = ()
    access_token_seconds: int = 15 * 60
    #: A session that isn't refreshed for so long is over.
    refresh_token_seconds: int = 14 * 24 * 3600
    requests_per_minute: int = 1200
    login_attempts_per_minute: int = 10
    #: Password checks at the same time: each keeps one core busy for about 0.3 s.
    password_workers: int = 2
    #: A WebSocket client that takes nothing for so long is closed with 1013.
    slow_reader_seconds: float = 5.0
    #: How long an open WebSocket may outlive its session.
    session_check_seconds: float = 10.0

    def upstreams(self) -> dict[str, str]:
        """Service name -> base URL, of those that are deployed."""
        urls = {
            "siem": self.siem_url,
            "orchestrator": self.orchestrator_url,
            "edr": self.edr_url,
            "soar": self.soar_url,
            "agents": self.agents_url,
        }
        return {name: url.rstrip("/") for name, url in urls.items() if url}
