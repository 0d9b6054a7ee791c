"""web01: a small Debian host in a folder of its own, with the real servers, cut off from the machine it runs on.

Owns the building (debootstrap, configuration, accounts, site), the private mounts and the start and stop of the
servers. Refuses to know who visits the host. Must run as root inside fresh network, UTS, IPC and mount namespaces
(record.py sees to it), so that only the loopback device exists and no mount outlives the run.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
NAME = "web01"
PACKAGES = (
    "openssh-server,openssh-client,nginx-light,auditd,rsyslog,cron,sudo,curl,wget,python3-minimal,ca-certificates,"
    "netcat-traditional,procps,iproute2,nano,less,systemd,apt-utils"
)
SERVERS = (
    ["rsyslogd", "-n"],
    ["auditd", "-n"],
    ["cron", "-f"],
    ["nginx", "-g", "daemon off;"],
    ["/usr/sbin/sshd", "-D"],
)
PAGES = {
    "index.html": "Gardening by the sea",
    "about.html": "About the nursery",
    "products.html": "Plants",
    "search.html": "Search",
    "login.html": "Sign in",
    "account.html": "Your orders",
    "contact.html": "Find us",
    **{f"products/{n}.html": f"Plant number {n}" for n in range(1, 9)},
}


def run(*command: str, stdin: str | None = None) -> None:
    """Run a command to its end (10 minutes at most) and fail with it."""
    subprocess.run(command, input=stdin, text=True, check=True, timeout=600, stdout=subprocess.DEVNULL)


def build(root: Path, passwords: dict[str, str], admin_key: str) -> None:
    """Make the host's root folder: packages, configuration, throw-away accounts and a web site."""
    if not (root / "usr/sbin/sshd").exists():
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root))
    for source, target in {
        "rsyslog.conf": "etc/rsyslog.conf",
        "nginx.conf": "etc/nginx/nginx.conf",
        "auditd.conf": "etc/audit/auditd.conf",
        "audit.rules": "etc/audit/audit.rules",
        "site.cron": "etc/cron.d/site",
        "sudoers": "etc/sudoers.d/local",
    }.items():
        shutil.copyfile(HERE / "etc" / source, root / target)
    (root / "etc/hostname").write_text(NAME + "\n")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {NAME}\n")
    (root / "etc/resolv.conf").write_text("")
    (root / "etc/default/locale").write_text("LANG=C.UTF-8\n")
    for log in ("wtmp", "btmp", "lastlog"):
        (root / "var/log" / log).touch()
    _pam(root / "etc/pam.d")
    for folder in ("srv/www/products", "var/cache/site", "var/spool/shipper", "var/log/audit", "var/log/nginx"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "var/spool/shipper").chmod(0o700)
    _site(root / "srv/www")
    _accounts(root, passwords, admin_key)


def _pam(folder: Path) -> None:
    """Drop the modules that only make noise here: no limits may be raised, no greeting is shown, no mail kept."""
    for name in ("sshd", "cron", "sudo", "sudo-i", "su", "login"):
        path = folder / name
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if not any(f"pam_{module}.so" in line for module in ("limits", "motd", "mail"))]
        path.write_text("\n".join(kept) + "\n")


def _site(www: Path) -> None:
    links = "".join(f'<li><a href="/{path}">{title}</a></li>' for path, title in PAGES.items())
    for path, title in PAGES.items():
        (www / path).write_text(
            f'<!doctype html><title>{title}</title><link rel="stylesheet" href="/site.css">'
            f"<h1>{title}</h1><ul>{links}</ul>\n"
        )
    (www / "site.css").write_text("body { font-family: serif; max-width: 40em; margin: auto }\n")
    (www / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><circle cx="9" cy="9" r="9"/></svg>\n')
    (www / "robots.txt").write_text("User-agent: *\nAllow: /\n")
    (www / "status.json").write_text('{"orders": 12, "stock": "ok"}\n')


def _accounts(root: Path, passwords: dict[str, str], admin_key: str) -> None:
    for name, password in passwords.items():
        run("chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo,adm", name)
        run("chroot", str(root), "chpasswd", stdin=f"{name}:{password}\n")
        run("chroot", str(root), "install", "-d", "-o", name, "-g", name, "-m", "700", f"/home/{name}/.ssh")
    keys = root / "home/alice/.ssh/authorized_keys"
    keys.write_text(admin_key)
    run("chroot", str(root), "install", "-d", "-m", "700", "/root/.ssh")
    run("chroot", str(root), "chown", "alice:alice", "/home/alice/.ssh/authorized_keys")


@contextlib.contextmanager
def mounted(root: Path) -> Iterator[None]:
    """Give the host its own /proc, /dev and /run; the namespace drops them even if this process is killed."""
    run("mount", "-t", "proc", "proc", str(root / "proc"))
    run("mount", "-t", "tmpfs", "tmpfs", str(root / "run"))
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root / "dev"))
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        (root / "dev" / name).touch()
        run("mount", "--bind", f"/dev/{name}", str(root / "dev" / name))
    for name in ("pts", "shm"):
        (root / "dev" / name).mkdir()
    run("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=0666,gid=5,mode=620", "devpts", str(root / "dev/pts"))
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    (root / "dev/fd").symlink_to("/proc/self/fd")
    (root / "run/sshd").mkdir()
    (root / "run/utmp").touch()
    try:
        yield
    finally:
        run("umount", "--recursive", str(root / "dev"), str(root / "run"), str(root / "proc"))


@contextlib.contextmanager
def serving(root: Path) -> Iterator[None]:
    """Start the servers, load the audit policy, and take both away again, in reverse order."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        # The rules go in before auditd starts and come out after it ended: the policy's own changes aren't recorded.
        run("chroot", str(root), "auditctl", "-R", "/etc/audit/audit.rules")
        for command in SERVERS:
            started.append(subprocess.Popen(["chroot", str(root), *command], stdin=subprocess.DEVNULL))
            time.sleep(1)
        if any(process.poll() is not None for process in started):
            raise RuntimeError("a server of web01 didn't start")
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=5)
        run("chroot", str(root), "auditctl", "-D")
        run("chroot", str(root), "auditctl", "-e", "0")
