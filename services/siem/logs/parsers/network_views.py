"""Sigma's product-less network categories, made of ECS fields: `dns`, `proxy` and `firewall`.

Owns Sigma's names in them, as SigmaHQ's taxonomy gives them. Refuses to know which product an event came from.
"""

from typing import Any

from services.siem.event import View

_PROXY = {
    "c-useragent": "user_agent.original",
    "cs-method": "http.request.method",
    "cs-host": "url.domain",
    "cs-uri": "url.original",
    "sc-status": "http.response.status_code",
    "cs-referrer": "http.request.referrer",
    "src_ip": "source.ip",
    "dst_ip": "destination.ip",
    "dst_port": "destination.port",
}
_FIREWALL = {
    "src_ip": "source.ip",
    "src_port": "source.port",
    "dst_ip": "destination.ip",
    "dst_port": "destination.port",
    "username": "user.name",
}
_SAME_AS_DNS = {"query": "dns.question.name", "record_type": "dns.question.type", "answer": "dns.answers.data"}


def _view(product: str, category: str, names: dict[str, str], ecs: dict[str, Any], own: dict[str, Any]) -> View:
    return View(product, category, (), own | {sigma: ecs[name] for sigma, name in names.items() if name in ecs})


def dns_view(product: str, ecs: dict[str, Any], own: dict[str, Any]) -> list[View]:
    """The view of category dns; [] without a name that was asked for."""
    return [_view(product, "dns", _SAME_AS_DNS, ecs, own)] if "dns.question.name" in ecs else []


def proxy_view(product: str, ecs: dict[str, Any], own: dict[str, Any]) -> list[View]:
    """The view of category proxy; `c-uri` is the whole address, as a proxy sees it. [] without one."""
    path = ecs.get("url.original")
    if path is None:
        return []
    view = _view(product, "proxy", _PROXY, ecs, own)
    host = ecs.get("url.domain", "")
    view.fields["c-uri"] = path if "://" in path or not host else f"http://{host}{path}"
    stem, _, query = path.partition("?")
    view.fields["cs-uri-stem"] = stem
    if query:
        view.fields["c-uri-query"] = query
    extension = stem.rpartition("/")[2].rpartition(".")
    if extension[1]:
        view.fields["c-uri-extension"] = extension[2]
    return [view]


def firewall_view(
    product: str, services: tuple[str, ...], ecs: dict[str, Any], own: dict[str, Any], allowed: bool | None
) -> View:
    """The view of category firewall. `allowed` is None where the line tells of no decision."""
    view = _view(product, "firewall", _FIREWALL, ecs, own)
    view.services = services
    if allowed is not None:
        view.fields["action"] = "accept" if allowed else "deny"
        view.fields["blocked"] = "false" if allowed else "true"
    return view
