"""What a browser is told on every answer, so that no page can misuse it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

#: A page of its own content sets its own Content-Security-Policy.
SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
    "Cache-Control": "no-store",
}
#: For a year a browser speaks nothing but TLS with this name. Browsers ignore it on an answer that came without TLS.
STRICT_TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")
