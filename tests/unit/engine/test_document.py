"""Splitting streams of rules."""

from __future__ import annotations

from services.siem.detections.engine import split_documents


def test_a_stream_is_split_at_its_markers_with_line_numbers() -> None:
    assert split_documents("a: 1\n---\nb: 2\n") == [(1, "a: 1"), (2, "   \nb: 2\n")]
    assert [number for number, _ in split_documents("---\na: 1\n---\nb: 2\n")] == [1, 3]


def test_dashes_within_a_block_or_a_line_split_nothing() -> None:
    text = "description: |\n  above\n  ---\n  below\ntitle: a --- b\nmore: ----\n"
    assert split_documents(text) == [(1, text)]


def test_empty_documents_comments_and_directives_are_left_out() -> None:
    assert split_documents("") == []
    assert split_documents("---\n---\n# only a comment\n---\n\n...\n%YAML 1.1\n---\n") == []
    assert [number for number, _ in split_documents("# licence\n---\ntitle: a\n---\n")] == [2]


def test_content_beside_a_marker_stays_in_its_document() -> None:
    assert split_documents("--- {a: 1}\n--- # comment\nb: 2") == [(1, "    {a: 1}"), (2, "    # comment\nb: 2")]


def test_a_broken_document_hides_none_after_it() -> None:
    assert len(split_documents("a: [\n---\nb: 2\n---\n\tc\n---\nd: 4\n")) == 4


def test_windows_line_ends_and_byte_order_marks_are_accepted() -> None:
    assert [number for number, _ in split_documents("\ufeffa: 1\r\n---\r\nb: 2\r\n")] == [1, 2]
