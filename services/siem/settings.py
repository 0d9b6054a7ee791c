"""What the siem service can be told from outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SiemSettings:
    """Sizes in bytes, times in seconds. One of `clickhouse_path` and `clickhouse_url` is needed; the URL wins."""

    #: The folder of the engine that runs in this process; only one process at a time may use it.
    clickhouse_path: Path | None = None
    #: A server: `https://host:8443/database`.
    clickhouse_url: str | None = None
    clickhouse_user: str | None = None
    clickhouse_password_file: Path | None = None
    #: Bodies that are received and not yet durable; beyond it intake answers 429. What is parsed of them is bounded
    #: by the writer's queue: two bodies of 31 MiB at once take the process to about 1 GB, from 0.35 idle.
    intake_bytes: int = 64 * 1024 * 1024
    #: Stored events whose matches wait in memory for their commit; beyond it they are evaluated again in their turn.
    waiting_events: int = 50_000
    #: A search that takes longer is refused.
    search_seconds: float = 10.0
    #: Off: every rule is tried on every event of its log source. The matches are the same; the index is the speed.
    detection_index: bool = True
    #: Processes beside this one that parse, encode and evaluate events. One for each core that intake may have.
    intake_processes: int = 2
    #: How late events may come for correlations that are read once, of windows that are complete.
    correlation_lateness: float = 300.0
    #: Where syslog is taken, each `host:port`; not set: not at all. The TLS listener needs a certificate and its key.
    syslog_udp: str | None = None
    syslog_tcp: str | None = None
    syslog_tls: str | None = None
    syslog_tls_cert_file: Path | None = None
    syslog_tls_key_file: Path | None = None
    #: With it, senders over TLS must show a certificate of this authority.
    syslog_tls_client_ca_file: Path | None = None
    #: Who may send: syslog knows no passwords. By default this machine and private networks.
    syslog_networks: tuple[str, ...] = (
        "127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10",
    )  # fmt: skip
    #: Connections at a time; the next is closed at once.
    syslog_connections: int = 256
    #: A longer line is cut there.
    syslog_line_bytes: int = 64 * 1024
    #: Lines received and not yet durable; beyond it connections aren't read and datagrams are dropped.
    syslog_waiting_bytes: int = 16 * 1024 * 1024
