"""Ordinary visitors of the web site: they read pages, follow links, look for a missing icon and sometimes mistype.

Owns the visitors' addresses, browsers' User-Agent strings and habits. Refuses to know of the scanner.
"""

from __future__ import annotations

import http.client
import random
import threading
import time

BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
)
PATHS = (
    "/",
    "/about.html",
    "/products.html",
    "/contact.html",
    "/login",
    "/robots.txt",
    "/search?q=roses",
    "/search?q=salt+and+wind",
    "/search?q=select+a+plant+from+the+union+street+shop",
    "/search?q=rock%27n%27roses",
    "/search?q=gard%C3%A9nia&sort=price",
    *(f"/products/{n}.html" for n in range(1, 9)),
    "/product.html",
    "/favicon.ico",
)


def fetch(source: str, method: str, target: str, headers: dict[str, str], body: str | None = None) -> int:
    """Make one request to web01 from the loopback address `source`; returns the status."""
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=10, source_address=(source, 0))
    try:
        connection.request(method, target, body=body, headers={"Host": "web01", **headers})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def visit(source: str, browser: str, until: float, errors: list[BaseException]) -> None:
    """Read pages until the monotonic time `until`, three to twelve seconds apart."""
    referer = ""
    while time.monotonic() < until:
        path = random.choice(PATHS)
        headers = {"User-Agent": browser, **({"Referer": referer} if referer else {})}
        try:
            if path == "/login":
                fetch(source, "GET", path, headers)
                fetch(source, "POST", path, headers, body="user=visitor&password=unused")
            else:
                fetch(source, "GET", path, headers)
            if not referer:
                fetch(source, "GET", "/site.css", headers)
                fetch(source, "GET", "/favicon.ico", headers)
        except OSError as error:
            errors.append(error)
        referer = f"http://web01{path}"
        time.sleep(random.uniform(3, 12))


def visitors(seconds: float, errors: list[BaseException]) -> list[threading.Thread]:
    """Start one thread per visitor, for `seconds`."""
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=visit, args=(f"127.0.20.{number}", browser, until, errors))
        for number, browser in enumerate(BROWSERS, start=11)
    ]
    for thread in threads:
        thread.start()
    return threads
