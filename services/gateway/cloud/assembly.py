"""Cloud sign-in put together as the settings say: which providers there are, and where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from services.gateway.cloud.aws import Aws
from services.gateway.cloud.azure import Azure
from services.gateway.cloud.google import Google
from services.gateway.cloud.ports import Auditor, People
from services.gateway.cloud.revocations import Revocations
from services.gateway.cloud.service import Cloud
from services.gateway.cloud.store import CloudStore
from services.gateway.settings import CloudSettings
from shared import config
from shared.cache import Cache
from shared.outbound import Outbound, trusted_url
from shared.postgres import Database
from shared.runtime import Platform
from shared.sealing import SealingKeys

T = TypeVar("T")


def cloud(platform: Platform, database: Database, cache: Cache, people: People, audit: Auditor) -> Cloud | None:
    """The use-cases with their background work running; None without a key file. Raises ConfigError."""
    settings = platform.settings(CloudSettings)
    if settings.cloud_key_file is None:
        return None
    keys = _checked("AURORA_CLOUD_KEY_FILE", SealingKeys.parse, config.read_secret_text(settings.cloud_key_file))
    outbound = Outbound(timeout_seconds=settings.cloud_timeout_seconds)
    platform.on_stop(outbound.close)
    google, store = _google(settings, outbound), CloudStore(database)
    revocations = Revocations(store, keys, google, audit, settings.cloud_retry_seconds)
    platform.spawn("cloud", revocations.keep_house())
    return Cloud(
        store,
        cache,
        people,
        audit,
        keys,
        revocations,
        google=google,
        aws=_aws(settings, outbound),
        azure=Azure(outbound, _url("AZURE_LOGIN", settings.azure_login_url).rstrip("/")),
    )


def callback_url(platform: Platform) -> str:
    """Where browsers come back to from Google."""
    return platform.settings(CloudSettings).callback_url


def _google(settings: CloudSettings, outbound: Outbound) -> Google | None:
    if not settings.gcp_client_id:
        return None
    return Google(
        outbound,
        settings.gcp_client_id,
        _secret("AURORA_GCP_CLIENT_SECRET_FILE", settings.gcp_client_secret_file),
        _checked("AURORA_GCP_REDIRECT_URI", trusted_url, settings.callback_url),
        _url("GCP_AUTH", settings.gcp_auth_url),
        _url("GCP_TOKEN", settings.gcp_token_url),
        _url("GCP_REVOKE", settings.gcp_revoke_url),
        settings.gcp_scopes,
    )


def _aws(settings: CloudSettings, outbound: Outbound) -> Aws | None:
    if not settings.aws_access_key_id:
        return None
    url = _url("AWS_STS", settings.aws_sts_url).rstrip("/")
    if urlsplit(url).path or urlsplit(url).query:
        raise config.ConfigError("AURORA_AWS_STS_URL must be a server's root")
    secret = _secret("AURORA_AWS_SECRET_ACCESS_KEY_FILE", settings.aws_secret_access_key_file)
    return Aws(outbound, settings.aws_access_key_id, secret, f"{url}/", settings.aws_region)


def _secret(variable: str, file: Path | None) -> str:
    if file is None:
        raise config.ConfigError(f"{variable} is not set")
    return config.read_secret(file)


def _url(name: str, url: str) -> str:
    return _checked(f"AURORA_{name}_URL", trusted_url, url)


def _checked(variable: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise config.ConfigError(f"{variable}: {error}") from error
