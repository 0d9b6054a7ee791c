"""Access logs of nginx and apache: common and combined format, with or without apache's leading virtual host.

The two servers write the same lines, so the format asked for or the source's name tells them apart; nginx else. A
request line that isn't HTTP (a TLS hello, a port scan) is kept as it was received.
"""

import re
from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.interface import Context
from services.siem.logs.parsers.times import common_log
from services.siem.logs.parsers.values import integer, ip_address, one_line

_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_LINE = re.compile(
    r"(?:(?P<vhost>[\w.-]{1,255}(?::\d{1,5})?) )?(?P<client>[^\s\"]{1,255}) (?P<ident>\S{1,255}) "
    r"(?P<user>[^\[\"]{1,512}?) "
    rf"\[(?P<time>\d\d/[A-Z][a-z]{{2}}/\d{{4}}:\d\d:\d\d:\d\d [+-]\d{{4}})\] {_QUOTED} (\d{{3}}) (\d{{1,19}}|-)"
    rf"(?: {_QUOTED} {_QUOTED})?"
)
_REQUEST = re.compile(r"([A-Z][A-Z_-]{0,31}) (\S.*?)(?: HTTP/(\d(?:\.\d)?))?$")
_APACHE = ("apache", "httpd")


def server_of(source: str) -> str:
    """Which server a source's name speaks of: "apache", or "nginx" when it doesn't say."""
    source = source.lower()
    return "apache" if any(name in source for name in _APACHE) else "nginx"


def parse(line: str, context: Context) -> Event | None:
    """An access line of the server that the source's name speaks of, or None when it isn't one."""
    return parse_as(server_of(context.source), line, context)


def parse_nginx(line: str, context: Context) -> Event | None:
    """An access line of nginx, or None when it isn't one."""
    return parse_as("nginx", line, context)


def parse_apache(line: str, context: Context) -> Event | None:
    """An access line of apache, or None when it isn't one."""
    return parse_as("apache", line, context)


def parse_as(server: str, line: str, context: Context) -> Event | None:
    """An access line of `server` ("nginx" or "apache"), or None when it isn't one."""
    match = _LINE.match(line)
    if match is None:
        return None
    vhost, client, _, user, time, request, status, size, referer, agent = match.groups()
    fields: dict[str, Any] = {"c-ip": client, "date": time, "sc-status": int(status)}
    dataset = f"{server}.access"
    ecs: dict[str, Any] = {
        "event.dataset": dataset,
        "event.category": ["web"],
        "event.type": ["access"],
        "event.outcome": "failure" if status[0] in "45" else "success",
        "source.address": client,
        "http.response.status_code": int(status),
    }
    if (address := ip_address(client)) is not None:
        ecs["source.ip"] = address
    _request(request, fields, ecs)
    if vhost:
        fields["cs-host"] = ecs["url.domain"] = vhost.partition(":")[0]
    if size != "-" and (count := integer(size)) is not None:
        fields["sc-bytes"] = ecs["http.response.body.bytes"] = count
    for value, sigma, name in (
        (user, "cs-username", "user.name"),
        (referer, "cs-referer", "http.request.referrer"),
        (agent, "cs-user-agent", "user_agent.original"),
    ):
        if value and value != "-":
            fields[sigma] = ecs[name] = value
    when = common_log(time) or context.received_at
    return Event(when, dataset, one_line(line), ecs, [View(server, "webserver", (server,), fields)], line)


def _request(request: str, fields: dict[str, Any], ecs: dict[str, Any]) -> None:
    match = _REQUEST.match(request)
    if match is None:
        fields["cs-uri"] = ecs["url.original"] = request
        ecs["event.type"] = ["access", "error"]
        return
    method, uri, version = match.groups()
    stem, _, query = uri.partition("?")
    fields["cs-method"] = ecs["http.request.method"] = method
    fields["cs-uri"] = ecs["url.original"] = uri
    fields["cs-uri-stem"] = ecs["url.path"] = stem
    # W3C means by cs-uri-query what follows the question mark; half of the public rules look for paths in it.
    fields["cs-uri-query"] = [query, uri] if query else uri
    if query:
        ecs["url.query"] = query
    if version:
        fields["cs-version"] = f"HTTP/{version}"
        ecs["http.version"] = version
