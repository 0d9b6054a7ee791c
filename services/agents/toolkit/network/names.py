"""Domain names: what of a name its owner registered, and how unlike ordinary names that label reads. Pure.

`oddness` scores a label by its pairs of letters: the mean surprise (in bits) of each letter after the one before it,
learned from knowledge/ordinary_names.json, beside digits and runs of consonants. Names put together from dictionary
words read like ordinary ones, so generators that use word lists are not seen here.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import msgspec
from publicsuffixlist import PublicSuffixList

_FILE = Path(__file__).parents[1] / "knowledge" / "ordinary_names.json"
_VOWELS = frozenset("aeiouy")
_LETTERS = 28.0
_EDGE = "^"
#: From this score on, and of this length, a label reads as if a programme had made it.
GENERATED_FROM = 1.6
MIN_LABEL = 7
#: Bits of mean surprise that ordinary labels seldom reach, and what a point more is worth.
_USUAL_BITS = 4.15
_MAX_NAME = 253


class _Knowledge(msgspec.Struct):
    description: str
    names: list[str]


@lru_cache(maxsize=2)
def _suffixes(*, shared: bool) -> PublicSuffixList:
    return PublicSuffixList(only_icann=not shared)


@lru_cache(maxsize=4096)
def registered(name: str, *, shared: bool = True) -> str:
    """The part of a name that somebody registered (`example.co.uk`); empty for a suffix, one word or an address.

    With `shared` a name below a suffix that a company shares out is its customer's (`d111.cloudfront.net`); without,
    the company's (`cloudfront.net`)."""
    lowered = name.strip().rstrip(".").lower()[:_MAX_NAME]
    if not lowered or lowered.replace(".", "").isdigit():
        return ""
    return _suffixes(shared=shared).privatesuffix(lowered) or ""


def entropy(text: str) -> float:
    """Shannon's entropy of the characters, in bits each; 0 of an empty text."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values()) if text else 0.0


@lru_cache(maxsize=1)
def _pairs() -> tuple[Counter[tuple[str, str]], Counter[str]]:
    pairs: Counter[tuple[str, str]] = Counter()
    starts: Counter[str] = Counter()
    for name in msgspec.json.decode(_FILE.read_bytes(), type=_Knowledge).names:
        for before, after in zip(_EDGE + name, name + _EDGE, strict=True):
            pairs[before, after] += 1
            starts[before] += 1
    return pairs, starts


@lru_cache(maxsize=8192)
def surprise(label: str) -> float:
    """Mean bits of a label's letters, each after the one before it; what isn't a letter is left out."""
    letters = "".join(character for character in label.lower() if "a" <= character <= "z")
    if not letters:
        return 0.0
    pairs, starts = _pairs()
    total = 0.0
    for before, after in zip(_EDGE + letters, letters + _EDGE, strict=True):
        total -= math.log2((pairs[before, after] + 0.1) / (starts[before] + 0.1 * _LETTERS))
    return total / (len(letters) + 1)


def oddness(label: str) -> float:
    """How unlike an ordinary name a label reads: below 0.5 for nearly every ordinary one, from GENERATED_FROM on it
    reads as generated. The oddest part between hyphens counts; parts under MIN_LABEL characters, and labels in
    Punycode, score 0: they say too little."""
    lowered = label.lower()
    if lowered.startswith("xn--"):
        return 0.0
    return max((_oddness(part) for part in lowered.split("-") if len(part) >= MIN_LABEL), default=0.0)


def _oddness(part: str) -> float:
    digits = sum(character.isdigit() for character in part)
    between = sum(a.isdigit() != b.isdigit() for a, b in pairwise(part))
    score = max(0.0, surprise(part) - _USUAL_BITS) * 1.6
    score += 0.22 * max(0, _consonants(part) - 4)
    # Digits within, not at the end: `server01` is ordinary, `a8f3k2m9` is not.
    score += 0.25 * max(0, between - 2) if digits >= 3 else 0.0
    return round(score * min(1.0, len(part) / 10), 4)


def _consonants(label: str) -> int:
    """The longest run of consonants."""
    longest = run = 0
    for character in label:
        run = run + 1 if character.isalpha() and character not in _VOWELS else 0
        longest = max(longest, run)
    return longest


def is_generated(name: str) -> bool:
    """Whether the registered label of a name reads as generated. Labels that a company gives its customers are made by
    a programme as a matter of course, so they don't count."""
    return oddness(registered(name, shared=False).partition(".")[0]) >= GENERATED_FROM
