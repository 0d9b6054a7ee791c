"""Software that lines of package managers, installers and banners name. Pure; linear in the line."""

from __future__ import annotations

import re

_MAX_TEXT = 8192
_MOST = 20
_NAME = r"[a-z0-9][a-z0-9+.-]{1,80}"
_SERVERS = (
    "Apache|nginx|OpenSSH|Microsoft-IIS|lighttpd|Jetty|Tomcat|PHP|OpenSSL|vsftpd|ProFTPD|Exim|Postfix|Dovecot|MariaDB"
    "|MySQL|PostgreSQL"
)
_FORMS = (
    ("dpkg", re.compile(rf"\bstatus installed ({_NAME})(?::\w{{1,10}})? (\S{{1,60}})")),
    ("apt", re.compile(rf"(?<![\w.+-])({_NAME}):(?:amd64|arm64|i386|all) \((?:[^,()]{{1,60}}, )?([^,()]{{1,60}})\)")),
    ("rpm", re.compile(r"\b(?:Installed|Upgraded|Updated): ([A-Za-z0-9][\w+.-]{0,100}?)-(\d\S{0,60})")),
    ("msi", re.compile(r"Product Name: ([^.]{1,80})\. Product Version: ([\w.]{1,40})\.")),
    ("banner", re.compile(rf"\b({_SERVERS})[/_ ](\d[\w.-]{{0,30}})")),
)


def packages_in(message: str) -> list[tuple[str, str, str]]:
    """How, product and version of each that a line names, at most 20."""
    found = [(how, *match.groups()) for how, form in _FORMS for match in form.finditer(message[:_MAX_TEXT])]
    return [(how, product.strip(), version) for how, product, version in found][:_MOST]
