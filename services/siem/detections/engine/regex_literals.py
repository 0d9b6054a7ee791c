"""Which texts must occur in whatever a regular expression matches.

Owns a reading of the expression that is cautious on purpose: it only takes what stands outside groups, classes and
optional parts, and gives up on anything it isn't sure of. Refuses to know RE2, fields and rules.
"""

from __future__ import annotations

import re

# Runs of plain characters, escapes, classes, groups' brackets, quantifiers: the tokens of Sigma's flavour.
_TOKEN = re.compile(
    r"""(?P<code>\\(?:x(?:[0-9a-fA-F]{2}|\{[^}]*\})|[pP](?:\{[^}]*\}|.)|[0-7]{1,3}))
    |(?P<escape>\\.)
    |(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])
    |(?P<open>\((?:\?(?:[a-z]*:|P?<\w+>))?)
    |(?P<close>\))
    |(?P<or>\|)
    |(?P<quantifier>[*+?]\??|\{\d*,?\d*\}\??)
    |(?P<any>[.^$])
    |(?P<char>.)""",
    re.VERBOSE | re.DOTALL,
)
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}
_FLAGS = re.compile(r"\(\?[a-z]+\)")


def required_literals(pattern: str) -> list[str]:
    """Casefolded texts, each of which is in every text the (RE2) pattern is found in; [] when none is certain."""
    body = _FLAGS.sub("", pattern, count=1) if _FLAGS.match(pattern) else pattern
    # A POSIX class ends at another bracket than it seems to; what \Q begins is literal whatever it looks like.
    if "[:" in body or "\\Q" in body:
        return []
    runs, depth = [""], 0
    for token in _TOKEN.finditer(body):
        kind, text = token.lastgroup, token.group()
        if kind == "or" and depth == 0:
            return []
        depth += (kind == "open") - (kind == "close")
        if depth > 0 or kind in ("open", "close"):
            # A quantifier after the group must not reach back before it, so the run ends here.
            runs.append("")
        elif kind == "quantifier":
            runs[-1] = runs[-1][:-1]
            runs.append("")
        elif kind in ("char", "escape") and (plain := _plain(text)):
            runs[-1] += plain
        else:
            runs.append("")
    return [run.casefold() for run in runs if run]


def _plain(token: str) -> str:
    """The character a token stands for; empty for classes and for text whose folding isn't worth following."""
    if len(token) == 2 and token[1].isalnum():
        return _CONTROLS.get(token[1], "")
    return token[-1] if token.isascii() else ""
