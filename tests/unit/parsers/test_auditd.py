"""Audit records, alone and joined by their serial."""

from datetime import UTC, datetime

import orjson
import pytest

from services.siem.event import Event
from services.siem.logs.parsers import join_apart, parse_items
from tests.unit.parsers.parsing import event, events, view

SERIAL = "msg=audit(1604996384.965:93777):"
SYSCALL = (
    f"node=web01 type=SYSCALL {SERIAL} arch=c000003e syscall=59 success=yes exit=0 a0=558e a1=55 items=2 ppid=29002 "
    'pid=2168 auid=1000 uid=0 gid=0 euid=0 tty=pts0 ses=3 comm="sh" exe="/usr/bin/dash" key="exec"'
)
EXECVE = f'node=web01 type=EXECVE {SERIAL} argc=3 a0="sh" a1="-c" a2=6563686F2068690A'
CWD = f'node=web01 type=CWD {SERIAL} cwd="/home/bob"'
PATH = f'node=web01 type=PATH {SERIAL} item=1 name="x/../new file" inode=20 nametype=CREATE'
TITLE = f"node=web01 type=PROCTITLE {SERIAL} proctitle=64640069663D2F6465762F7A65726F00"


def test_a_record_keeps_its_own_keys_for_sigma() -> None:
    found = event(SYSCALL)
    assert found.timestamp == datetime(2020, 11, 10, 8, 19, 44, 965000, tzinfo=UTC)
    assert found.dataset == "auditd"
    fields = found.views[0].fields
    assert (fields["type"], fields["a0"], fields["exe"], fields["key"]) == ("SYSCALL", "558e", "/usr/bin/dash", "exec")
    assert found.views[0].services == ("auditd",)
    assert found.ecs["host.name"] == "web01"
    assert found.ecs["auditd.serial"] == 93777
    assert found.ecs["process.pid"] == 2168
    assert found.ecs["process.parent.pid"] == 29002
    assert found.ecs["user.audit.id"] == "1000"
    assert found.ecs["event.outcome"] == "success"


def test_a_syscall_is_named_from_its_number_and_machine() -> None:
    assert event(SYSCALL).views[0].fields["SYSCALL"] == "execve"
    arm = SYSCALL.replace("c000003e syscall=59", "c00000b7 syscall=203")
    assert event(arm).views[0].fields["SYSCALL"] == "connect"
    assert "SYSCALL" not in event(SYSCALL.replace("c000003e", "40000003")).views[0].fields


def test_the_enriched_fields_after_the_separator_are_read() -> None:
    found = event(SYSCALL + '\x1dARCH=x86_64 SYSCALL=execve AUID="bob" UID="root" EUID="root"')
    assert found.ecs["user.name"] == "root"
    assert found.ecs["user.audit.name"] == "bob"
    assert found.views[0].fields["ARCH"] == "x86_64"
    assert "ARCH" not in found.message


def test_unset_ids_and_empty_values_are_left_out() -> None:
    found = event(f"type=SYSCALL {SERIAL} auid=4294967295 ses=4294967295 tty=(none) key=(null) pid=1")
    assert "user.audit.id" not in found.ecs
    assert "auditd.session" not in found.ecs
    assert "key" not in found.views[0].fields


def test_hex_arguments_and_titles_are_decoded() -> None:
    assert event(EXECVE).views[0].fields["a2"] == "echo hi\n"
    title = event(TITLE)
    assert title.views[0].fields["proctitle"] == "dd if=/dev/zero"
    assert title.message == "PROCTITLE: dd if=/dev/zero"


def test_the_hex_numbers_of_a_syscall_are_not_decoded() -> None:
    assert event(SYSCALL.replace("a0=558e", "a0=41")).views[0].fields["a0"] == "41"


def test_a_quoted_value_that_looks_like_hex_is_text() -> None:
    assert event(f'type=PATH {SERIAL} item=0 name="ABCD"').ecs["file.path"] == "ABCD"


def test_the_fields_of_a_user_message_are_lifted_out() -> None:
    found = event(
        'type=USER_LOGIN msg=audit(1604996384.965:1): pid=1 uid=0 auid=1000 ses=3 msg=\'op=login acct="bob" '
        'exe="/usr/sbin/sshd" hostname=192.0.2.9 addr=192.0.2.9 terminal=ssh res=failed\'\x1dUID="root"'
    )
    assert found.ecs["user.name"] == "bob"
    assert "user.id" not in found.ecs
    assert found.ecs["source.ip"] == "192.0.2.9"
    assert found.ecs["event.outcome"] == "failure"
    assert found.ecs["event.action"] == "logged-in"
    assert found.views[0].fields["op"] == "login"


@pytest.mark.parametrize(
    ("id_and_name", "expected"),
    [
        ('id=1000{}\'\x1dUID="root" AUID="alice" ID="alice"', ("1000", "alice")),
        ("id=1000{}'", ("1000", None)),
        ("id=0{}'", ("0", "root")),
    ],
    ids=["enriched", "plain", "root"],
)
def test_a_login_is_of_the_account_that_it_names_by_id_and_not_of_the_program_that_tells(
    id_and_name: str, expected: tuple[str, str | None]
) -> None:
    told = id_and_name.format(' exe="/usr/sbin/sshd" addr=192.0.2.9 res=success')
    found = event(f"type=USER_LOGIN {SERIAL} pid=1 uid=0 auid=1000 ses=3 msg='op=login {told}")
    assert (found.ecs["user.id"], found.ecs.get("user.name")) == expected


def test_a_sudo_command_in_hex_is_decoded() -> None:
    found = event("type=USER_CMD msg=audit(1.000:2): pid=5 msg='cwd=\"/\" cmd=6C73202D6C terminal=pts/0 res=success'")
    assert found.ecs["process.command_line"] == "ls -l"


def test_a_socket_address_is_read() -> None:
    found = event(f"type=SOCKADDR {SERIAL} saddr=0200115C7F0000010000000000000000")
    assert (found.ecs["destination.ip"], found.ecs["destination.port"]) == ("127.0.0.1", 4444)
    six = event(f"type=SOCKADDR {SERIAL} saddr=0A00115C00000000{'0' * 31}100000000")
    assert six.ecs["destination.ip"] == "::1"
    local = event(f"type=SOCKADDR {SERIAL} saddr=01002F72756E2F7800")
    assert local.ecs["file.path"] == "/run/x"


def test_a_numbered_record_of_the_kernel_log_is_named() -> None:
    found = event('Nov  2 08:19:44 web01 kernel: [  12.5] audit: type=1400 audit(1604996384.965:7): apparmor="DENIED"')
    assert found.dataset == "auditd"
    assert found.ecs["auditd.type"] == "AVC"
    assert found.ecs["host.name"] == "web01"
    assert event("type=UNKNOWN[1334] msg=audit(1.000:2): op=LOAD").ecs["auditd.type"] == "BPF"


def test_records_of_one_serial_make_one_process_creation() -> None:
    found = events(SYSCALL, EXECVE, CWD, PATH, TITLE)
    created = [view for each in found for view in each.views if view.category == "process_creation"]
    assert len(created) == 1
    assert created[0].product == "linux"
    assert created[0].fields == {
        "Image": "/usr/bin/dash",
        "CommandLine": "sh -c echo hi\n",
        "CurrentDirectory": "/home/bob",
        "User": "root",
        "ProcessId": 2168,
        "ParentProcessId": 29002,
        "LogonId": "1000",
    }
    execve = found[1]
    assert execve.ecs["process.pid"] == 2168
    assert execve.ecs["process.executable"] == "/usr/bin/dash"
    assert execve.ecs["process.name"] == "sh"
    assert execve.ecs["process.working_directory"] == "/home/bob"
    assert execve.ecs["user.id"] == "0"
    assert execve.ecs["event.type"] == ["start"]


def test_the_order_of_the_records_does_not_matter() -> None:
    forward, backward = events(SYSCALL, EXECVE, CWD), events(CWD, EXECVE, SYSCALL)
    assert forward == backward[::-1]


def test_without_arguments_the_syscall_is_the_process_creation() -> None:
    syscall, _ = events(SYSCALL, TITLE)
    assert view(syscall, "process_creation").fields["CommandLine"] == "dd if=/dev/zero"


def test_a_failed_execution_is_no_process_creation() -> None:
    found = events(SYSCALL.replace("success=yes", "success=no"), EXECVE)
    assert [view.category for each in found for view in each.views] == [None, None]
    assert found[1].ecs["event.type"] == ["info"]


def test_a_created_path_is_a_file_event_under_its_full_name() -> None:
    found = events(SYSCALL, CWD, PATH)[2]
    assert found.ecs["file.path"] == "/home/bob/new file"
    fields = view(found, "file_event").fields
    assert (fields["TargetFilename"], fields["Image"]) == ("/home/bob/new file", "/usr/bin/dash")


def test_a_connect_is_a_network_connection() -> None:
    connect = SYSCALL.replace("syscall=59", "syscall=42")
    _, found = events(connect, f"node=web01 type=SOCKADDR {SERIAL} saddr=0200115C7F0000010000000000000000")
    fields = view(found, "network_connection").fields
    assert (fields["DestinationIp"], fields["DestinationPort"], fields["Initiated"]) == ("127.0.0.1", 4444, "true")
    assert fields["Image"] == "/usr/bin/dash"


def test_a_parent_seen_in_the_same_request_is_named() -> None:
    child = SYSCALL.replace("93777", "93778").replace("pid=29002 pid=2168", "pid=2168 pid=2169")
    found = events(SYSCALL, EXECVE, child.replace("/usr/bin/dash", "/usr/bin/id"), EXECVE.replace("93777", "93778"))
    fields = view(found[3], "process_creation").fields
    assert (fields["Image"], fields["ParentImage"]) == ("/usr/bin/id", "/usr/bin/dash")
    assert fields["ParentCommandLine"] == "sh -c echo hi\n"


def test_records_of_two_machines_are_not_mixed() -> None:
    found = events(SYSCALL, EXECVE.replace("node=web01", "node=db01"))
    assert "process.pid" not in found[1].ecs


def test_long_arguments_are_put_together_from_their_parts() -> None:
    found = event(f'type=EXECVE {SERIAL} argc=3 a0="sh" a1_len=6 a1[0]="abc" a1[1]="def" a2="x"')
    assert found.ecs["process.command_line"] == "sh abcdef x"


def test_a_json_document_cannot_pass_for_an_audit_record() -> None:
    forged = {"event": {"dataset": "auditd", "module": "linux"}, "auditd": {"serial": [1], "type": "EXECVE"}, "argc": 9}
    found = events(forged, EXECVE)
    assert [each.category for each in found[0].views] == [None]


def test_what_one_serial_shares_is_bounded() -> None:
    long = EXECVE.replace('"-c"', f'"{"x" * 60_000}"')
    found = events(SYSCALL, long, *[PATH.replace("item=1", f"item={n}") for n in range(100)])
    assert len(found[1].ecs["process.command_line"]) > 60_000
    assert len(found[2].ecs["process.command_line"]) == 2048
    assert "process.command_line" not in found[101].ecs


RECORDS = (SYSCALL, EXECVE, CWD, PATH, TITLE)
#: In two requests: every way of telling who comes in the first.
SPLITS = [[line for number, line in enumerate(RECORDS) if mask >> number & 1] for mask in range(1, 31)]


def parsed(lines: list[str]) -> list[Event]:
    results = parse_items(
        [line.encode() for line in lines], source="s", received_at=datetime(2026, 1, 1, tzinfo=UTC), continued=True
    )
    return [result for result in results if isinstance(result, Event)]


@pytest.mark.parametrize("first", SPLITS, ids=lambda lines: " ".join(line.split()[1][5:] for line in lines))
def test_records_of_two_requests_say_together_what_they_say_in_one(first: list[str]) -> None:
    pieces = [*parsed(first), *parsed([line for line in RECORDS if line not in first])]
    assert any(event.apart for event in pieces), "something must ask for a second look"
    join_apart(pieces)
    whole = {found.raw: found for found in events(*RECORDS)}
    assert {event.raw: event for event in pieces} == whole


def test_records_that_are_apart_are_silent_until_they_are_looked_at_together() -> None:
    (syscall,) = parsed([SYSCALL])
    execve, path = parsed([EXECVE, PATH])
    for found in (syscall, execve, path):
        assert (found.apart, [one.category for one in found.views]) == (True, [None])


def test_what_lacks_nothing_isnt_apart() -> None:
    listen = SYSCALL.replace("syscall=59", "syscall=50")
    failed = SYSCALL.replace("success=yes", "success=no")
    login = f"type=USER_LOGIN {SERIAL} pid=1 uid=0 msg='op=login acct=\"root\" res=failed'"
    for lines in ([listen], [failed], [login], [SYSCALL, EXECVE], list(RECORDS)):
        assert not any(event.apart for event in parsed(lines))


def test_what_never_comes_isnt_waited_for() -> None:
    (execve,) = parsed([EXECVE])
    join_apart([execve])
    assert [one.category for one in execve.views] == [None, "process_creation"]
    assert not execve.apart


def test_what_a_shipper_wrote_around_a_record_stays_when_it_is_completed() -> None:
    shipped = [orjson.dumps({"message": line, "tags": ["audit"]}).decode() for line in (SYSCALL, EXECVE)]
    pieces = [*parsed(shipped[:1]), *parsed(shipped[1:])]
    assert all(event.apart for event in pieces)
    join_apart(pieces)
    whole = events(*(orjson.loads(line) for line in shipped))
    assert pieces == whole
    assert [one.category for one in whole[1].views] == [None, None, "process_creation"]
