"""The triage process: what it says of real programmes, and that hostile files hurt nothing but it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from services.agents.toolkit.samples import sandbox
from services.agents.toolkit.samples.imports import groups_in
from services.agents.toolkit.samples.sandbox import Sandbox
from shared.contracts.samples import MOST_MEMBERS
from tests.unit.agents.small_programmes import EICAR, dense, pe

ROOT = Path(__file__).parents[2]
# The same 1000 bytes, as pyzipper and Info-ZIP pack them.
AES = (
    "UEsDBBQAAQBjANd7dl0AAAAAPwAAAOgDAAAIAAsAbm90ZS50eHQBmQcAAgBBRQMIAEYmAFRQBR4RLTMP1z4a6rqYTGTSOzWmN+OW1YZpBEEwYuiY"
    "4hRcKRekDUtb/dNjGqWjOvDCkRPuUE+9bDiF41BLAQIUAxQAAQBjANd7dl0AAAAAPwAAAOgDAAAIAAsAAAAAAAAAAACAAQAAAABub3RlLnR4dAGZ"
    "BwACAEFFAwgAUEsFBgAAAAABAAEAQQAAAHAAAAAAAA=="
)
ZIP_CRYPTO = (
    "UEsDBBQACQAIANd7dl2KSxnXLwAAAOgDAAAIABwAbm90ZS50eHRVVAkAA6YKA2umCgNrdXgLAAEEAAAAAAQAAAAAn8XojgwrwWfP00SY9sj4c6WE"
    "W+kxD+Z/3Oe3zyx+DV9T0j1Uc5L2rP8lsJd2BihQSwcIiksZ1y8AAADoAwAAUEsBAh4DFAAJAAgA13t2XYpLGdcvAAAA6AMAAAgAGAAAAAAAAQAA"
    "AKSBAAAAAG5vdGUudHh0VVQFAAOmCgNrdXgLAAEEAAAAAAQAAAAAUEsFBgAAAAABAAEATgAAAIEAAAAAAA=="
)
OTHER_PASSWORD = (
    "UEsDBBQAAQBjANd7dl0AAAAAPwAAAOgDAAAIAAsAbm90ZS50eHQBmQcAAgBBRQMIAE463iIMzuR8kkc4XIjIODwYzmivm4UZo8rlZwEipgtfrFNe"
    "lsbfV1JZ9E5Q9q2bXDwywci75GIABHFeGYpf71BLAQIUAxQAAQBjANd7dl0AAAAAPwAAAOgDAAAIAAsAAAAAAAAAAACAAQAAAABub3RlLnR4dAGZ"
    "BwACAEFFAwgAUEsFBgAAAAABAAEAQQAAAHAAAAAAAA=="
)


def zipped(**files: bytes) -> bytes:
    """An archive of these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


async def test_the_test_file_of_every_scanner_is_found() -> None:
    found = await Sandbox().triage(EICAR)
    assert [match["rule"] for match in found["rules"]] == ["eicar_test_file"]
    assert found["unread"] == {}
    assert found["md5"] == "44d88612fea8a8f36de82e1278abb02f"


async def test_a_windows_programme_is_read_with_its_sections_and_imports() -> None:
    functions = ["VirtualAllocEx", "WriteProcessMemory", "CreateRemoteThread"]
    found = await Sandbox().triage(pe(code=dense(70_000), functions=functions, writable_code=True, extra=b"more"))
    programme = found["programme"]
    assert (programme["format"], programme["bits"], programme["machine"]) == ("pe", 64, "amd64")
    code = programme["sections"][0]
    assert (code["name"], code["writable"], code["executable"]) == (".text", True, True)
    assert code["entropy"] > 7.9
    assert [group["id"] for group in groups_in(programme["imports"])] == ["process-injection"]
    assert programme["entry_section"] == ".text"
    assert len(programme["imphash"]) == 32
    assert programme["overlay"] == 4
    assert programme["signature"] == "none"


async def test_a_linux_programme_is_read() -> None:
    data = await asyncio.to_thread(Path(shutil.which("env") or sys.executable).read_bytes)
    found = await Sandbox().triage(data)
    assert found["kind"] == "elf"
    assert found["programme"]["format"] == "elf"
    assert found["programme"]["section_count"] > 10
    assert found["rules"] == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pe()[:0x48], id="a header that breaks off"),
        pytest.param(pe()[:0x44] + b"\xff\x7f" + pe()[0x46:], id="a machine that doesn't exist"),
        pytest.param(pe(more_sections=9_000), id="thousands of sections"),
        pytest.param(b"\x7fELF\x02\x01\x01" + b"\xff" * 4000, id="an ELF of nonsense"),
    ],
)
async def test_a_hostile_file_is_a_result(data: bytes) -> None:
    found = await Sandbox().triage(data)
    assert found["size"] == len(data)
    assert set(found["unread"]) <= {"programme"}


async def test_rules_of_the_operator_are_read_and_broken_ones_counted(tmp_path: Path) -> None:
    text = 'rule ours { meta: weight = "0.7" strings: $a = "only here" condition: $a }'
    (tmp_path / "ours.yar").write_text(text)
    (tmp_path / "broken.yara").write_text("rule {")
    found = await Sandbox([tmp_path]).triage(b"found only here")
    assert [(match["rule"], match["file"], match["meta"]) for match in found["rules"]] == [
        ("ours", "ours", {"weight": "0.7"})
    ]
    assert found["rules_ignored"] == 1


async def test_the_files_of_an_archive_are_looked_at_each() -> None:
    packed = zipped(**{"a/invoice.pdf.exe": pe(code=dense(70_000)), "b.txt": EICAR, "c.zip": zipped(d=b"x")})
    found = await Sandbox().triage(packed)
    assert (found["kind"], found["member_count"], found["unread"]) == ("archive", 3, {})
    programme, text, inner = found["members"]
    assert (programme["name"], programme["programme"]["format"]) == ("a/invoice.pdf.exe", "pe")
    assert [match["rule"] for match in text["rules"]] == ["eicar_test_file"]
    assert text["sha256"] == hashlib.sha256(EICAR).hexdigest()
    assert inner["unread"] == {"members": "an archive in an archive"}


@pytest.mark.parametrize(
    ("packed", "size", "unread"),
    [
        pytest.param(AES, 1000, {}, id="the newer encryption"),
        pytest.param(ZIP_CRYPTO, 1000, {}, id="the older encryption"),
        pytest.param(OTHER_PASSWORD, None, {"bytes": "behind another password"}, id="another password"),
    ],
)
async def test_an_archive_behind_the_password_that_analysts_agree_on_is_opened(
    packed: str, size: int | None, unread: dict[str, str]
) -> None:
    found = await Sandbox().triage(base64.b64decode(packed))
    (member,) = found["members"]
    assert (member["name"], member.get("size"), member["unread"]) == ("note.txt", size, unread)


async def test_an_archive_made_to_fill_memory_is_a_result() -> None:
    found = await Sandbox().triage(zipped(bomb=bytes(200_000_000), rest=b"rest", **{f"n{i}": b"" for i in range(400)}))
    assert [member["unread"] for member in found["members"][:2]] == [{"bytes": "too large when unpacked"}, {}]
    assert (len(found["members"]), found["member_count"]) == (MOST_MEMBERS, 402)
    broken = await Sandbox().triage(zipped(a=b"a" * 1000)[:60])
    assert broken["unread"] == {"members": "BadZipFile"}


async def test_a_process_that_takes_too_long_is_ended_and_said_so() -> None:
    found = await Sandbox(seconds=0.01).triage(b"x")
    assert set(found["unread"].values()) == {"out of time"}


async def test_a_process_that_dies_leaves_what_it_said_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_MODULE", "tests.integration.stand_in_triage")
    found = await Sandbox().triage(b"MZ")
    assert found["sha256"] == "a" * 64
    reason = "the process died of SIGSEGV"
    assert found["unread"] == {"strings": reason, "rules": reason, "programme": reason, "members": reason}


_TRIES = """
import os, resource, socket
from services.agents.toolkit.samples import worker
worker._limit()
worker._shut()
def refused(what):
    try:
        what()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "allowed"
print(refused(lambda: open("/etc/passwd")), refused(socket.socket), refused(os.fork),
      refused(lambda: bytearray(2 * 1024**3)), os.geteuid() != 0, resource.getrlimit(resource.RLIMIT_CPU)[1] <= 20)
"""


def test_the_process_can_open_connect_start_and_take_nothing() -> None:
    """What of it holds is asked of the process itself, by the steps that it takes before it reads a sample."""
    ran = subprocess.run(
        [sys.executable, "-c", _TRIES],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.split() == ["OSError", "OSError", "BlockingIOError", "MemoryError", "True", "True"]


_READS = """
import random
from services.agents.toolkit.samples import worker
from services.agents.toolkit.samples.facts import said
from services.agents.toolkit.samples.rules import Rules
rules = Rules(worker._OWN_RULES, [])
worker._limit()
worker._warm(rules)
worker._shut()
chance = random.Random(1)
said(chance.randbytes(2_000_000))
letters = "abcxyz019.-@:/[]_%"
for _ in range(3000):
    said("".join(chance.choices(letters, k=60)).encode())
for ending in ("com", "co.uk", "zip", "py", "exe", "onion", "xn--p1ai", "museum", "local", "arpa", "dev", "nonsense"):
    for form in ("see a.b-c.{} now", "https://a.b-c.{}/x", "x.y@b-c.{}", "hxxp://a[.]b-c[.]{}", "ftp://b-c.{}:21/"):
        said(form.format(ending).encode())
print("read")
"""


def test_strings_are_read_to_their_end_when_nothing_can_be_opened_any_more() -> None:
    """Lists and codecs are loaded at their first use: each must have had it before."""
    ran = subprocess.run(
        [sys.executable, "-c", _READS],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.stdout == "read\n", ran.stderr[-2000:]
