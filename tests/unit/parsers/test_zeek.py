"""Zeek's logs, as JSON and tab-separated, with and without their header."""

from services.siem.logs.parsers import read_items
from tests.unit.parsers.parsing import event, events, view

CONN = "\t".join((
    "1795345200.250000", "CHhAvVGS1DHFjwGM9", "192.0.2.5", "51000", "198.51.100.9", "443", "tcp", "ssl", "1.5", "700",
    "5200", "SF", "T", "F", "0", "ShADadFf", "9", "1200", "8", "5600", "-",
))  # fmt: skip
DNS = "\t".join((
    "1795345200.250000", "CmES5u32sYpV7JYN", "192.0.2.5", "53111", "192.0.2.53", "53", "udp", "4711", "0.01",
    "pool.minexmr.com", "1", "C_INTERNET", "16", "TXT", "0", "NOERROR", "F", "F", "T", "T", "0", "a,b", "60,60", "F",
))  # fmt: skip
HEADER = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tssl\n"
    "#open\t2026-11-22-10-00-00\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tversion\tserver_name\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tstring\tstring\n"
)
SSL = "1795345200.5\tCUM0KZ3MLUfNB0cl11\t192.0.2.5\t51000\t198.51.100.9\t443\tTLSv13\tupdates.example.org"


def test_a_connection_without_a_header_is_read_in_the_default_order() -> None:
    found = event(CONN)
    assert found.dataset == "zeek.conn"
    assert (found.ecs["source.ip"], found.ecs["destination.port"], found.ecs["network.protocol"]) == (
        "192.0.2.5",
        443,
        "ssl",
    )
    assert (found.ecs["zeek.local_orig"], found.ecs["source.bytes"]) == (True, 700)
    assert "zeek.tunnel_parents" not in found.ecs
    assert found.message == "conn: tcp ssl SF 192.0.2.5:51000 -> 198.51.100.9:443"
    assert found.timestamp.microsecond == 250_000


def test_a_dns_record_has_the_views_of_both_kinds_of_rules() -> None:
    found = event(DNS)
    assert view(found, None).services == ("dns",)
    assert view(found, None).fields["Z"] == 0
    assert view(found, None).fields["answers"] == ["a", "b"]
    assert view(found, "dns").fields["answer"] == ["a", "b"]
    assert view(found, "dns").fields["record_type"] == "TXT"


def test_a_file_with_its_header_gives_each_line_its_names() -> None:
    items = read_items(f"{HEADER}{SSL}\n#close\t2026-11-22-11-00-00\n".encode(), "text/plain")
    assert len(items) == 1
    (found,) = events(*items)
    assert found.dataset == "zeek.ssl"
    assert found.ecs["tls.client.server_name"] == "updates.example.org"
    assert found.ecs["source.port"] == 51000


def test_an_event_read_again_from_its_raw_text_keeps_its_names() -> None:
    (item,) = read_items(f"{HEADER}{SSL}".encode(), "text/plain")
    (found,) = events(item)
    assert found.raw.startswith("#path\tssl\n#fields\tts\t")
    assert event(found.raw) == found


def test_a_line_that_does_not_fit_the_header_above_it_stays_as_it_is() -> None:
    items = read_items(f"{HEADER}{CONN}\n# a remark\n".encode(), "text/plain")
    assert items == [CONN.encode(), b"# a remark"]


def test_each_header_counts_until_the_next() -> None:
    second = "#path\tweird\n#fields\tts\tuid\tname\n1795345200.5\tCUM0KZ3MLUfNB0cl11\tdata_before_established"
    items = read_items(f"{HEADER}{SSL}\n{second}".encode(), "text/plain")
    assert [found.dataset for found in events(*items)] == ["zeek.ssl", "zeek.weird"]


def test_json_records_are_told_apart_by_their_path_or_their_fields() -> None:
    common = {"ts": 1795345200.5, "uid": "CHhAvVGS1DHFjwGM9", "id.orig_h": "192.0.2.5", "id.resp_h": "198.51.100.9"}
    http = {**common, "trans_depth": 1, "method": "PUT", "host": "h.example.org", "uri": "/x.exe", "user_agent": "W"}
    named = {**common, "_path": "dce_rpc", "endpoint": "svcctl", "operation": "CreateServiceA"}
    found = event(http)
    assert found.dataset == "zeek.http"
    assert view(found, None).fields["c-uri"] == "/x.exe"
    assert view(found, "proxy").fields["c-uri"] == "http://h.example.org/x.exe"
    assert event(named).views[0].services == ("dce_rpc",)
    assert event({**common, "conn_state": "S0"}).dataset == "zeek.conn"
    assert event({**common, "x": 1}).dataset == "zeek.unknown"


def test_other_tab_separated_lines_are_text() -> None:
    assert event("1795345200.5\ta\tb").dataset == "generic.text"
    assert event("#path\tx\ny").dataset == "generic.text"
