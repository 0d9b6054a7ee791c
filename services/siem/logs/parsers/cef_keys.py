"""The keys of CEF and LEEF in ECS, and the products among their senders that are firewalls. Data only."""

from typing import Final

from services.siem.logs.parsers.documents import Column

CEF: Final = (
    Column("src", "source.ip", "address"),
    Column("c6a2", "source.ip", "address"),
    Column("shost", "source.domain"),
    Column("spt", "source.port", "number"),
    Column("smac", "source.mac"),
    Column("suser", "user.name"),
    Column("duser", "user.name"),
    Column("duser", "user.target.name"),
    Column("suid", "user.id"),
    Column("sproc", "process.name"),
    Column("spid", "process.pid", "number"),
    Column("dst", "destination.ip", "address"),
    Column("c6a3", "destination.ip", "address"),
    Column("dhost", "destination.domain"),
    Column("dpt", "destination.port", "number"),
    Column("dmac", "destination.mac"),
    Column("proto", "network.transport"),
    Column("app", "network.protocol"),
    Column("in", "source.bytes", "number"),
    Column("out", "destination.bytes", "number"),
    Column("dvchost", "host.name"),
    Column("dvc", "host.ip", "address"),
    Column("deviceExternalId", "observer.serial_number"),
    Column("externalId", "event.id"),
    Column("cat", "event.provider"),
    Column("outcome", "event.outcome"),
    Column("reason", "event.reason"),
    Column("fname", "file.name"),
    Column("filePath", "file.path"),
    Column("fileHash", "file.hash.sha256"),
    Column("fsize", "file.size", "number"),
    Column("request", "url.original"),
    Column("requestMethod", "http.request.method"),
    Column("requestClientApplication", "user_agent.original"),
)
LEEF: Final = (
    Column("src", "source.ip", "address"),
    Column("srcPort", "source.port", "number"),
    Column("srcMAC", "source.mac"),
    Column("dst", "destination.ip", "address"),
    Column("dstPort", "destination.port", "number"),
    Column("dstMAC", "destination.mac"),
    Column("usrName", "user.name"),
    Column("accountName", "user.name"),
    Column("proto", "network.transport"),
    Column("srcBytes", "source.bytes", "number"),
    Column("dstBytes", "destination.bytes", "number"),
    Column("identHostName", "host.name"),
    Column("resource", "host.name"),
    Column("cat", "event.provider"),
    Column("url", "url.original"),
    Column("domain", "user.domain"),
    Column("policy", "rule.name"),
    Column("action", "event.action"),
)
TIMES: Final = ("rt", "start", "end", "deviceReceiptTime", "devTime")
#: Vendor and product as they name themselves, in small letters.
FIREWALLS: Final = frozenset((
    ("palo_alto_networks", "pan_os"), ("palo_alto_networks", "lf"), ("check_point", "vpn_1_firewall_1"),
    ("check_point", "firewall"), ("fortinet", "fortigate"), ("sonicwall", "nsa"), ("sophos", "xg_firewall"),
    ("watchguard", "fireware"), ("watchguard", "firebox"), ("barracuda", "cloudgen_firewall"),
    ("forcepoint", "firewall"), ("forcepoint", "ngfw"), ("juniper", "srx"), ("cisco", "asa"), ("cisco", "firepower"),
))  # fmt: skip
ALLOWED: Final = frozenset(("allow", "allowed", "accept", "accepted", "permit", "permitted", "pass", "passed"))
DENIED: Final = frozenset(("deny", "denied", "drop", "dropped", "block", "blocked", "reject", "rejected", "reset",
                           "reset-both", "reset-client", "reset-server", "prevent"))  # fmt: skip
