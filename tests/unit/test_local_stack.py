"""The local stack's plain rules: ports, addresses, the lock, the format number, who may enter a folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from deploy.local import ports, postgres_server
from deploy.local.account import blocking_folder
from deploy.local.errors import StackError
from deploy.local.keys import cloud_key_file, ensure_keys
from deploy.local.layout import DataFolder, holder_of, locked
from deploy.local.process import last_line
from deploy.local.servers import Addresses, External, embedded_names
from deploy.local.services import GATEWAY, SERVICES, Launcher, port_names
from shared.sealing import SealingKeys


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "aurora")
    made.prepare(minimum_free=0)
    return made


def test_ports_are_distinct_and_kept(folder: DataFolder) -> None:
    first = ports.assign(["a", "b", "c"], folder.ports_file)
    assert len(set(first.values())) == 3
    assert ports.assign(["a", "b", "c"], folder.ports_file) == first


def test_a_port_that_was_taken_meanwhile_is_replaced_and_the_others_stay(folder: DataFolder) -> None:
    first = ports.assign(["a", "b"], folder.ports_file)
    with socket.create_server((ports.HOST, first["a"])):
        second = ports.assign(["a", "b"], folder.ports_file)
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]


def test_a_port_promised_to_somebody_else_is_not_assigned(folder: DataFolder) -> None:
    first = ports.assign(["a"], folder.ports_file)
    assert ports.assign(["a"], folder.ports_file, avoid=first["a"]) != first


def test_a_damaged_ports_file_means_new_ports(folder: DataFolder) -> None:
    folder.ports_file.write_text("{")
    assert set(ports.assign(["a"], folder.ports_file)) == {"a"}


def test_an_address_from_outside_replaces_only_its_own_server() -> None:
    assert embedded_names(External()) == ("postgres", "nats", "valkey")
    assert embedded_names(External(nats_url="nats://n:4222")) == ("postgres", "valkey")


def test_a_services_dsn_keeps_the_administrators_server_and_options_but_not_the_secret(folder: DataFolder) -> None:
    external = External(postgres_dsn="postgresql://root:p%40ss:word@db.example:5433/aurora?sslmode=verify-full")
    addresses = Addresses(folder, external, {})
    service, admin = urlsplit(addresses.postgres_dsn("siem")), urlsplit(addresses.postgres_admin_dsn())
    assert service.netloc == "aurora_siem@db.example:5433"
    assert service.path == "/aurora"
    assert parse_qs(service.query)["sslmode"] == ["verify-full"]
    assert admin.netloc == "root@db.example:5433"
    assert Path(parse_qs(admin.query)["passfile"][0]).read_text() == "*:*:*:root:p@ss\\:word\n"


def test_a_secret_in_a_url_from_outside_is_moved_into_a_file(folder: DataFolder) -> None:
    address = Addresses(folder, External(redis_url="redis://aurora:s3cret@r.example:6379/1"), {}).redis()
    assert address.url == "redis://aurora@r.example:6379/1"
    assert address.password_file is not None
    assert address.password_file.read_text() == "s3cret\n"


def test_a_passfile_is_private(folder: DataFolder) -> None:
    assert postgres_server.passfile(folder, "r", "p").stat().st_mode & 0o777 == 0o600


def test_a_password_is_made_once(folder: DataFolder) -> None:
    assert folder.password("a") == folder.password("a") != folder.password("b")


def test_the_lock_is_held_once_and_tells_whether_the_last_holder_let_go(folder: DataFolder) -> None:
    with locked(folder) as died:
        assert not died
        assert holder_of(folder) == os.getpid()
        with pytest.raises(StackError, match=f"already running on .*, pid {os.getpid()}"), locked(folder):
            pass
    assert holder_of(folder) is None
    folder.lock_file.write_text("4711\n")
    with locked(folder) as died:
        assert died


@pytest.mark.parametrize(("text", "words"), [("7\n", "newer Aurora"), ("x", "no format number")])
def test_a_format_that_is_not_ours_is_refused(folder: DataFolder, text: str, words: str) -> None:
    folder.version_file.write_text(text)
    with pytest.raises(StackError, match=words):
        folder.prepare(minimum_free=0)


def test_the_folder_that_keeps_an_account_out_is_named(tmp_path: Path) -> None:
    stranger = (12345, 12345)
    inner = tmp_path / "inner"
    inner.mkdir(mode=0o755)
    tmp_path.chmod(0o700)
    assert blocking_folder(inner, (os.getuid(), os.getgid())) is None
    assert blocking_folder(inner, stranger) is not None


def test_the_last_words_of_a_process_are_one_line(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert last_line(log) == ""
    log.write_bytes(b"first\n\xffsecond\n\n")
    assert last_line(log) == "\N{REPLACEMENT CHARACTER}second"


def test_what_a_killed_process_left_in_the_scratch_folder_is_removed(folder: DataFolder) -> None:
    (folder.temporary / "insert.json").write_text("half")
    folder.prepare(minimum_free=0)
    assert list(folder.temporary.iterdir()) == []


def test_loopback_may_name_users_until_the_operator_says_otherwise(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assigned = ports.assign([*embedded_names(External()), *port_names(SERVICES)], folder.ports_file)

    def trusted() -> str:
        commands = {command.name: command for command in Launcher(folder, External(), assigned).commands()}
        return commands[GATEWAY].environment["AURORA_TRUSTED_PROXIES"]

    monkeypatch.delenv("AURORA_TRUSTED_PROXIES", raising=False)
    assert trusted() == "127.0.0.0/8,::1"
    monkeypatch.setenv("AURORA_TRUSTED_PROXIES", "")
    assert trusted() == ""


def test_the_key_that_seals_cloud_credentials_is_made_once_and_given_to_the_gateway_alone(folder: DataFolder) -> None:
    ensure_keys(folder, [service.name for service in SERVICES])
    file = cloud_key_file(folder)
    made = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert SealingKeys.parse(made).current == made.split()[0]
    ensure_keys(folder, [service.name for service in SERVICES])
    assert file.read_text() == made
    assigned = ports.assign([*embedded_names(External()), *port_names(SERVICES)], folder.ports_file)
    commands = Launcher(folder, External(), assigned).commands()
    told = [command.name for command in commands if command.environment.get("AURORA_CLOUD_KEY_FILE") == str(file)]
    assert told == [GATEWAY]


@pytest.mark.parametrize("variable", ["AURORA_PUBLIC_URL", "AURORA_GCP_REDIRECT_URI"])
def test_google_sends_browsers_back_to_this_machine_unless_the_operator_says_where(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    assigned = ports.assign([*embedded_names(External()), *port_names(SERVICES)], folder.ports_file)

    def redirect() -> str | None:
        commands = {command.name: command for command in Launcher(folder, External(), assigned).commands()}
        return commands[GATEWAY].environment.get("AURORA_GCP_REDIRECT_URI")

    for name in ("AURORA_PUBLIC_URL", "AURORA_GCP_REDIRECT_URI"):
        monkeypatch.delenv(name, raising=False)
    assert redirect() == f"http://localhost:{assigned[GATEWAY]}/callback"
    monkeypatch.setenv(variable, "https://soc.example.org")
    assert redirect() == (None if variable == "AURORA_PUBLIC_URL" else "https://soc.example.org")
