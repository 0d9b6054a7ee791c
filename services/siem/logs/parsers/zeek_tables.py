"""Zeek's tables: per log its default columns, what marks it, its ECS category and fields. Data only."""

from typing import Final

from services.siem.logs.parsers.documents import Column

_CONNECTION = ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
#: Log and columns in the order Zeek writes without further scripts; newer versions first.
DEFAULTS: Final = (
    ("conn", (*_CONNECTION, "proto", "service", "duration", "orig_bytes", "resp_bytes", "conn_state", "local_orig",
              "local_resp", "missed_bytes", "history", "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes",
              "tunnel_parents", "ip_proto")),
    ("conn", (*_CONNECTION, "proto", "service", "duration", "orig_bytes", "resp_bytes", "conn_state", "local_orig",
              "local_resp", "missed_bytes", "history", "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes",
              "tunnel_parents")),
    ("dns", (*_CONNECTION, "proto", "trans_id", "rtt", "query", "qclass", "qclass_name", "qtype", "qtype_name", "rcode",
             "rcode_name", "AA", "TC", "RD", "RA", "Z", "answers", "TTLs", "rejected")),
    ("http", (*_CONNECTION, "trans_depth", "method", "host", "uri", "referrer", "version", "user_agent", "origin",
              "request_body_len", "response_body_len", "status_code", "status_msg", "info_code", "info_msg", "tags",
              "username", "password", "proxied", "orig_fuids", "orig_filenames", "orig_mime_types", "resp_fuids",
              "resp_filenames", "resp_mime_types")),
)  # fmt: skip
_ADDRESSES = ((1, r"C[A-Za-z0-9]{8,25}"), (2, r"[0-9A-Fa-f:.]{2,45}"), (3, r"\d{1,5}"), (5, r"\d{1,5}"))
#: Log -> (place, what stands there), by which a line without a header is known.
MARKS: Final[dict[str, tuple[tuple[int, str], ...]]] = {
    "conn": (*_ADDRESSES, (6, r"tcp|udp|icmp|unknown_transport"), (11, r"-|S\d|SF|SH|SHR|REJ|RST\w{1,4}|OTH")),
    "dns": (*_ADDRESSES, (6, r"tcp|udp"), (7, r"\d{1,5}"), (23, r"T|F|-")),
    "http": (*_ADDRESSES, (6, r"\d{1,9}"), (7, r"-|[A-Z_-]{1,32}"), (16, r"-|\d{1,3}")),
}
NUMBERS: Final = frozenset((
    "id.orig_p", "id.resp_p", "orig_bytes", "resp_bytes", "missed_bytes", "orig_pkts", "resp_pkts", "orig_ip_bytes",
    "resp_ip_bytes", "trans_id", "qclass", "qtype", "rcode", "Z", "trans_depth", "request_body_len",
    "response_body_len", "status_code", "info_code", "seen_bytes", "total_bytes", "missing_bytes", "depth", "ip_proto",
))  # fmt: skip
BOOLEANS: Final = frozenset((
    "local_orig", "local_resp", "AA", "TC", "RD", "RA", "rejected", "resumed", "established", "is_orig", "timedout",
    "auth_success", "forwardable", "renewable", "success",
))  # fmt: skip
LISTS: Final = frozenset((
    "tunnel_parents", "answers", "TTLs", "tags", "proxied", "orig_fuids", "orig_filenames", "orig_mime_types",
    "resp_fuids", "resp_filenames", "resp_mime_types", "cert_chain_fuids", "client_cert_chain_fuids", "tx_hosts",
    "rx_hosts", "conn_uids", "analyzers", "client_header_names", "server_header_names", "cert_chain_fps",
))  # fmt: skip
#: Log -> (fields of its message, fields only it has, ECS category, ECS type).
KINDS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]]] = {
    "conn": (("proto", "service", "conn_state"), ("conn_state",), ("network",), ("connection", "end")),
    "dns": (("qtype_name", "query"), ("trans_id", "rejected"), ("network",), ("protocol", "info")),
    "http": (("method", "host", "uri", "status_code"), ("trans_depth", "method"), ("network", "web"), ("access",)),
    "ssl": (("version", "server_name"), ("cipher", "established"), ("network",), ("protocol", "info")),
    "files": (("mime_type", "filename", "source"), ("fuid", "seen_bytes"), ("file",), ("info",)),
    "x509": (("certificate.subject",), ("certificate.serial",), ("file",), ("info",)),
    "smb_files": (("action", "path", "name"), ("action", "path", "name"), ("network", "file"), ("access",)),
    "smb_mapping": (("path", "share_type"), ("share_type",), ("network",), ("protocol",)),
    "dce_rpc": (("endpoint", "operation"), ("named_pipe", "operation"), ("network",), ("protocol",)),
    "kerberos": (("request_type", "client", "service"), ("request_type", "till"), ("authentication",), ("start",)),
    "ntlm": (("domainname", "username", "hostname"), ("domainname", "username"), ("authentication",), ("start",)),
    "rdp": (("cookie", "result"), ("cookie", "result"), ("network",), ("protocol",)),
    "ssh": (("client", "server"), ("auth_attempts",), ("network",), ("protocol",)),
    "smtp": (("mailfrom", "subject"), ("helo",), ("email",), ("info",)),
    "ftp": (("command", "arg"), ("command", "reply_code"), ("network",), ("protocol",)),
    "notice": (("note", "msg"), ("note", "msg"), ("intrusion_detection",), ("info",)),
    "weird": (("name",), ("name", "notice"), ("network",), ("info",)),
}
COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "": (
        Column("id.orig_h", "source.ip", "address"),
        Column("id.orig_p", "source.port", "number"),
        Column("id.resp_h", "destination.ip", "address"),
        Column("id.resp_p", "destination.port", "number"),
        Column("uid", "event.id"),
        Column("fuid", "event.id"),
        Column("proto", "network.transport"),
        Column("community_id", "network.community_id"),
        Column("username", "user.name"),
    ),
    "conn": (
        Column("service", "network.protocol"),
        Column("orig_bytes", "source.bytes", "number"),
        Column("resp_bytes", "destination.bytes", "number"),
        Column("orig_pkts", "source.packets", "number"),
        Column("resp_pkts", "destination.packets", "number"),
    ),
    "dns": (
        Column("query", "dns.question.name"),
        Column("qtype_name", "dns.question.type"),
        Column("qclass_name", "dns.question.class"),
        Column("rcode_name", "dns.response_code"),
        Column("answers", "dns.answers.data", "list"),
        Column("trans_id", "dns.id"),
    ),
    "http": (
        Column("method", "http.request.method"),
        Column("host", "url.domain"),
        Column("uri", "url.original"),
        Column("referrer", "http.request.referrer"),
        Column("version", "http.version"),
        Column("user_agent", "user_agent.original"),
        Column("status_code", "http.response.status_code", "number"),
        Column("request_body_len", "http.request.body.bytes", "number"),
        Column("response_body_len", "http.response.body.bytes", "number"),
    ),
    "ssl": (
        Column("version", "tls.version"),
        Column("cipher", "tls.cipher"),
        Column("server_name", "tls.client.server_name"),
        Column("subject", "tls.server.subject"),
        Column("issuer", "tls.server.issuer"),
        Column("ja3", "tls.client.ja3"),
        Column("ja3s", "tls.server.ja3s"),
    ),
    "files": (
        Column("filename", "file.path"),
        Column("mime_type", "file.mime_type"),
        Column("total_bytes", "file.size", "number"),
        Column("md5", "file.hash.md5"),
        Column("sha1", "file.hash.sha1"),
        Column("sha256", "file.hash.sha256"),
        Column("tx_hosts", "source.ip", "address"),
        Column("rx_hosts", "destination.ip", "address"),
    ),
    "smb_files": (Column("name", "file.path"), Column("size", "file.size", "number"), Column("action", "event.action")),
    "dce_rpc": (Column("operation", "event.action"),),
    "notice": (Column("note", "rule.name"), Column("msg", "event.reason")),
    "kerberos": (Column("client", "user.name"), Column("request_type", "event.action")),
}
