"""Rule files from folders and archives, and the place that a report speaks of."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from cli import rulefiles
from cli.failure import Failure
from cli.rulefiles import Chunk, RuleFile, chunks, read
from services.siem.detections.engine.document import split_documents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rules = tmp_path / "rules"
    (rules / "deep").mkdir(parents=True)
    (rules / "b.yml").write_text("title: b\n")
    (rules / "deep" / "a.yaml").write_text("title: a\n")
    (rules / "README.md").write_text("no rule")
    return rules


def names(files: list[RuleFile]) -> list[str]:
    return [Path(file.name).name for file in files]


def test_a_folder_is_read_with_everything_below(folder: Path) -> None:
    assert names(read(folder)) == ["b.yml", "a.yaml"]


@pytest.mark.parametrize("packing", ["w:", "w:gz", "w:xz"])
def test_a_tar_archive_is_read_in_memory(folder: Path, tmp_path: Path, packing: str) -> None:
    path = tmp_path / "rules.archive"
    with tarfile.open(path, packing) as archive:  # type: ignore[call-overload]
        archive.add(folder, "rules")
    assert names(read(path)) == ["b.yml", "a.yaml"]


def test_a_zip_archive_is_read_in_memory(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "rules.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    assert names(read(path)) == ["b.yml", "a.yaml"]


def test_what_holds_no_rules_or_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(Failure, match="holds no rule files"):
        read(empty)
    garbage = tmp_path / "x.tar.gz"
    garbage.write_bytes(b"not an archive")
    with pytest.raises(Failure, match="can't be read"):
        read(garbage)
    monkeypatch.setattr(rulefiles, "MAX_FILE_BYTES", 100)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.yml", b"x" * 100_000)
    with pytest.raises(Failure, match="too large"):
        read(bomb)


def test_a_line_of_the_body_is_found_in_its_file_as_the_service_counts_it() -> None:
    chunk = Chunk()
    texts = {"one": "title: 1\nid: 1", "two": "\ufefftitle: 2\n---\ntitle: 3\n", "three": "---\ntitle: 4\n"}
    for name, text in texts.items():
        chunk.add(RuleFile(name, text))
    documents = split_documents(chunk.body().decode())
    assert len(documents) == 4
    for (first, text), (name, line) in zip(documents, [("one", 1), ("two", 1), ("two", 2), ("three", 1)], strict=True):
        assert chunk.place(first) == (name, line), text
    second_line = chunk.body().decode().split("\n").index("id: 1") + 1
    assert chunk.place(second_line) == ("one", 2)
    assert chunk.place(None) == ("one", 1)


def test_files_are_cut_into_chunks_that_hold_each_once() -> None:
    files = [RuleFile(str(number), "title: x") for number in range(rulefiles.CHUNK_FILES * 2 + 1)]
    made = list(chunks(files))
    assert [len(chunk.names) for chunk in made] == [rulefiles.CHUNK_FILES, rulefiles.CHUNK_FILES, 1]
    assert [name for chunk in made for name in chunk.names] == [file.name for file in files]
