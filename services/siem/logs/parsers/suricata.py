"""Suricata's EVE JSON: alerts and the protocol records of one flow. Source: Suricata's "EVE JSON format".

Sigma has no log source of its own for Suricata; its DNS and HTTP records are what the categories `dns` and `proxy`
describe, so they get those views beside the one under the own names.
"""

from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.documents import Column, event_of, fill, first_time, sentence
from services.siem.logs.parsers.interface import Context, Document
from services.siem.logs.parsers.network_views import dns_view, proxy_view
from services.siem.logs.parsers.values import flatten

_COLUMNS = (
    Column("src_ip", "source.ip", "address"),
    Column("src_port", "source.port", "number"),
    Column("dest_ip", "destination.ip", "address"),
    Column("dest_port", "destination.port", "number"),
    Column("proto", "network.transport"),
    Column("app_proto", "network.protocol"),
    Column("community_id", "network.community_id"),
    Column("flow_id", "event.id"),
    Column("host", "observer.hostname"),
    Column("in_iface", "observer.ingress.interface.name"),
    Column("flow.bytes_toserver", "source.bytes", "number"),
    Column("flow.bytes_toclient", "destination.bytes", "number"),
    Column("flow.pkts_toserver", "source.packets", "number"),
    Column("flow.pkts_toclient", "destination.packets", "number"),
    Column("alert.signature", "rule.name"),
    Column("alert.signature_id", "rule.id"),
    Column("alert.category", "rule.category"),
    Column("alert.rev", "rule.version"),
    Column("alert.severity", "event.severity", "number"),
    Column("dns.rrname", "dns.question.name"),
    Column("dns.rrtype", "dns.question.type"),
    Column("dns.query.rrname", "dns.question.name"),
    Column("dns.query.rrtype", "dns.question.type"),
    Column("dns.queries.rrname", "dns.question.name"),
    Column("dns.queries.rrtype", "dns.question.type"),
    Column("dns.rcode", "dns.response_code"),
    Column("dns.answers.rdata", "dns.answers.data", "list"),
    Column("http.hostname", "url.domain"),
    Column("http.url", "url.original"),
    Column("http.http_method", "http.request.method"),
    Column("http.http_user_agent", "user_agent.original"),
    Column("http.http_refer", "http.request.referrer"),
    Column("http.status", "http.response.status_code", "number"),
    Column("http.length", "http.response.body.bytes", "number"),
    Column("tls.sni", "tls.client.server_name"),
    Column("tls.version", "tls.version"),
    Column("tls.subject", "tls.server.subject"),
    Column("tls.issuerdn", "tls.server.issuer"),
    Column("tls.ja3.hash", "tls.client.ja3"),
    Column("tls.ja3s.hash", "tls.server.ja3s"),
    Column("fileinfo.filename", "file.path"),
    Column("fileinfo.size", "file.size", "number"),
    Column("fileinfo.sha256", "file.hash.sha256"),
    Column("fileinfo.md5", "file.hash.md5"),
    Column("ssh.client.software_version", "user_agent.original"),
)
_KINDS: dict[str, tuple[list[str], list[str]]] = {
    "alert": (["network", "intrusion_detection"], ["info"]),
    "drop": (["network"], ["denied"]),
    "flow": (["network"], ["connection", "end"]),
    "fileinfo": (["network", "file"], ["info"]),
    "http": (["network", "web"], ["access", "protocol"]),
}


def takes(document: Document) -> bool:
    """Whether an object is an EVE record; records of the engine itself (stats) have no addresses."""
    kind = document.get("event_type")
    if not isinstance(kind, str) or "timestamp" not in document:
        return False
    return "src_ip" in document or "flow_id" in document or isinstance(document.get("stats"), dict)


def parse(document: Document, raw: str, context: Context) -> Event:
    """One EVE record."""
    flat = flatten(document)
    kind = str(document.get("event_type", ""))[:64] or "record"
    category, types = _KINDS.get(kind, (["network"], ["protocol"]))
    ecs: dict[str, Any] = {
        "event.dataset": "suricata.eve",
        "event.module": "suricata",
        "event.action": kind,
        "event.category": list(category),
        "event.type": list(types),
    }
    if kind == "alert":
        ecs["event.kind"] = "alert"
        if flat.get("alert.action") == "blocked":
            ecs["event.type"] = ["denied"]
    fill(ecs, flat, _COLUMNS)
    for name in ("network.transport", "network.protocol"):
        if name in ecs:
            ecs[name] = ecs[name].lower()
    views = [View("suricata", None, (kind, "eve"), flat)]
    if kind == "dns":
        views += dns_view("suricata", ecs, flat)
    elif kind == "http":
        views += proxy_view("suricata", ecs, flat)
    what = ecs.get("rule.name") or ecs.get("dns.question.name") or _url(ecs) or ecs.get("tls.client.server_name")
    shown = sentence(f"{kind}:", what, _flow(flat))
    return event_of(first_time(flat, ("timestamp",), context), shown, ("suricata.eve", flat), ecs, views, raw)


def _url(ecs: dict[str, Any]) -> str:
    return f"{ecs.get('http.request.method', '')} {ecs.get('url.domain', '')}{ecs.get('url.original', '')}".strip()


def _flow(flat: dict[str, Any]) -> str:
    if "src_ip" not in flat:
        return ""
    return f"{flat['src_ip']}:{flat.get('src_port', '-')} -> {flat.get('dest_ip', '-')}:{flat.get('dest_port', '-')}"
