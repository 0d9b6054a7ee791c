"""What the gateway can be told from outside: keys, the addresses behind it, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GatewaySettings:
    """Read from AURORA_<FIELD>. Times in seconds. Rates are runtime settings: shared/live_settings.py."""

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
    #: Addresses or networks whose X-Forwarded-For is believed, and which may name a user by X-User-ID (RCA paths).
    trusted_proxies: tuple[str, ...] = ()
    #: What people who make themselves accounts may do: viewer, operator or analyst.
    registration_role: str = "viewer"
    #: Deprecated routes say so in the headers of RFC 9745 and RFC 8594, not in those of the API page.
    rfc_deprecation: bool = False
    access_token_seconds: int = 15 * 60
    #: A session that isn't refreshed for so long is over.
    refresh_token_seconds: int = 14 * 24 * 3600
    #: bcrypt's cost, at least 10; each step doubles the time of a check. Passwords keep the cost they were set with.
    password_cost: int = 12
    #: Password checks at the same time: each keeps one core busy for about 0.3 s.
    password_workers: int = 2
    #: So long after a gateway process died its unfinished writes' Idempotency-Keys may be used again.
    idempotency_lease_seconds: int = 20
    #: A WebSocket client that takes nothing for so long is closed with 1013.
    slow_reader_seconds: float = 5.0
    #: How long an open WebSocket may outlive its token, key or session.
    session_check_seconds: float = 2.0

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


@dataclass(frozen=True)
class FederationSettings:
    """Providers of identities (docs/identity.md)."""

    #: Where browsers reach this gateway, for example https://soc.example.org: providers send them back there.
    public_url: str = ""
    #: OpenID Connect providers, YAML or JSON.
    oidc_providers_file: Path | None = None
    #: SAML identity providers, YAML or JSON.
    saml_providers_file: Path | None = None

    @property
    def has_providers(self) -> bool:
        """Whether people may come by a provider: then registering isn't for everybody."""
        return self.oidc_providers_file is not None or self.saml_providers_file is not None


@dataclass(frozen=True)
class CloudSettings:
    """Cloud accounts of users (docs/cloud.md). URLs are https, or http on loopback. Times in seconds."""

    #: The keys that seal credentials: `<name> <base64 of 32 bytes>` a line, the first seals. Without it there is no
    #: cloud sign-in. `shared.sealing.new_key_line()` makes one; the local stack has its own.
    cloud_key_file: Path | None = None
    #: The OAuth client of this installation at Google.
    gcp_client_id: str = ""
    gcp_client_secret_file: Path | None = None
    #: This gateway's /callback as it is registered at Google; by default that of AURORA_PUBLIC_URL.
    gcp_redirect_uri: str = ""
    #: Where browsers reach this gateway.
    public_url: str = "http://localhost:5080"
    gcp_scopes: str = "https://www.googleapis.com/auth/cloud-platform.read-only"
    gcp_auth_url: str = "https://accounts.google.com/o/oauth2/auth"
    gcp_token_url: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
    gcp_revoke_url: str = "https://oauth2.googleapis.com/revoke"
    #: The IAM user of this installation: what users' roles trust.
    aws_access_key_id: str = ""
    aws_secret_access_key_file: Path | None = None
    aws_region: str = "us-east-1"
    aws_sts_url: str = "https://sts.amazonaws.com"
    #: Entra ID's login host; of a national cloud another.
    azure_login_url: str = "https://login.microsoftonline.com"
    #: How long a provider may take to answer.
    cloud_timeout_seconds: float = 10.0
    #: The first wait before a revocation is tried again; later ones are longer, up to 15 minutes.
    cloud_retry_seconds: float = 10.0

    @property
    def callback_url(self) -> str:
        """Where Google sends browsers back to."""
        return self.gcp_redirect_uri or f"{self.public_url.rstrip('/')}/callback"
