"""Regular expressions: RE2 with bounds, for checking rules and for running them.

Owns the one set of options both use, and the policy that makes pySigma check with it. Refuses to know rules.
"""

from __future__ import annotations

import re
from typing import Any, cast

import re2
from sigma.policy import SigmaPolicy
from sigma.policy.regex_engine import RegexEngine, RegexPattern

# One expression may cost this much memory; RE2 refuses larger programs instead of growing.
MEMORY_BYTES = 8 * 1024 * 1024
# Both engines need seconds for one that is much longer; the longest of SigmaHQ has 500 characters.
MAX_CHARACTERS = 10_000

RefusedRegex = re2.error


def compile_regex(pattern: str) -> Any:
    """An RE2 expression without captures, which searches in linear time. Raises RefusedRegex."""
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = MEMORY_BYTES
    return re2.compile(pattern, options)


class _Checker(RegexEngine):
    """What pySigma checks a rule's expressions and runs its selectors with.

    An expression RE2 refuses but Python reads is let pass here: it is valid, only not served (values.py says so).
    """

    def compile(self, pattern: str, flags: int = 0) -> RegexPattern:
        if len(pattern) > MAX_CHARACTERS:
            raise RefusedRegex(f"longer than {MAX_CHARACTERS} characters")
        try:
            return cast(RegexPattern, compile_regex(pattern))
        except RefusedRegex:
            try:
                return cast(RegexPattern, re.compile(pattern, flags))
            except (re.error, OverflowError, RecursionError) as error:
                raise RefusedRegex(str(error)) from error

    @property
    def error(self) -> type[Exception]:
        return cast(type[Exception], RefusedRegex)


POLICY = SigmaPolicy(regex_engine=_Checker())
