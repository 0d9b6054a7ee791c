"""Sections as Markdown in which nothing that came from data is markup. Pure.

Sentences quote attackers' text. Quotations become code spans, so does whatever a renderer may take for a link, and any
other character that means something to Markdown or HTML is escaped: headings, list marks and links are ours alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from shared.contracts.reports import Section

#: Invisible, control, and direction-changing characters: they could make a line read as something else.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: A quotation as specialists write it: quotes and backslashes inside are escaped.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
#: What some renderer makes a link of by itself: addresses, URLs, names with dots.
_LINKABLE = re.compile(r"@|://|\w\.\w|(?i:mailto:|xmpp:|www\.)")
_NUMBER = re.compile(r"[(]?\d+\.\d+[).,;:]*")
_MEANT = re.compile(r"([\\`*_{}\[\]<>#|~&!$^=])")
#: What makes a list or a line of its own at the start of a text.
_OPENING = re.compile(r"^(\d{1,9})?([-+.):])")
_BACKTICKS = re.compile("`+")


def rendered(title: str, sections: Sequence[Section]) -> str:
    """The whole report. Ids in citations must be known ones: they become links to the sources' headings."""
    parts = [f"# {inline(title)}"]
    for section in sections:
        parts.append(f"## {inline(section.title)}")
        for sentence in section.sentences:
            links = " ".join(f"[{_label(cited)}](#{cited})" for cited in sentence.citations)
            parts.append(f"- {inline(sentence.text)} {links}".rstrip())
    return "\n\n".join(_tightened(parts)) + "\n"


def _label(identifier: str) -> str:
    """Enough of an id to be told from others in one report: of a result its beginning, of a step its end."""
    return identifier[:11] if identifier.startswith("tr_") else f"step {identifier[-8:]}"


def sources(lines: Sequence[tuple[str, str]]) -> str:
    """The last section: a heading for each id, which the links lead to, and what it is."""
    parts = ["## Sources", *(f"### {identifier}\n\n{inline(text)}" for identifier, text in lines)]
    return "\n\n".join(parts) + "\n"


def inline(text: str) -> str:
    """One line of text, none of it markup."""
    visible = " ".join("".join(_visible(character) for character in text).split())
    parts: list[str] = []
    place = 0
    for match in _QUOTED.finditer(visible):
        parts.append(_plain(visible[place : match.start()]))
        parts.append(_code(match.group()))
        place = match.end()
    parts.append(_plain(visible[place:]))
    return _OPENING.sub(lambda match: f"{match[1] or ''}\\{match[2]}", "".join(parts))


def _plain(text: str) -> str:
    return re.sub(r"\S+", lambda match: _word(match.group()), text)


def _word(word: str) -> str:
    if _LINKABLE.search(word) and not _NUMBER.fullmatch(word):
        return _code(word)
    return _MEANT.sub(r"\\\1", word)


def _code(text: str) -> str:
    """A code span that holds the text whatever backticks it has."""
    fence = "`" * (max((len(run) for run in _BACKTICKS.findall(text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _visible(character: str) -> str:
    if character in "\n\t\r":
        return " "
    if unicodedata.category(character) in _HIDDEN:
        return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"
    return character


def _tightened(parts: Sequence[str]) -> list[str]:
    """Items of one list without empty lines between them."""
    joined: list[str] = []
    for part in parts:
        if joined and part.startswith("- ") and joined[-1].startswith("- "):
            joined[-1] += f"\n{part}"
        else:
            joined.append(part)
    return joined
