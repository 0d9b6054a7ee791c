"""How far verdicts on a rule can be trusted, and how noisy it is: precision with its Wilson interval, matches a day.

No I/O, no clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import sqrt

from shared.contracts.feedback import Labels, Precision

#: Fewer labels say nothing about a rule.
MIN_LABELS = 10
#: The quantile of the normal distribution for 95 %.
_Z = 1.959963984540054


def labels(true_positive: int, false_positive: int, benign_true_positive: int) -> Labels:
    """The counts, and their precision where there are enough."""
    right = true_positive + benign_true_positive
    total = right + false_positive
    precision = wilson(right, total) if total >= MIN_LABELS else None
    return Labels(true_positive, false_positive, benign_true_positive, precision)


def wilson(right: int, total: int) -> Precision:
    """`right` of `total` as a share, with the Wilson score interval at 95 % (E. B. Wilson, 1927)."""
    share = right / total
    square = _Z * _Z
    centre = (share + square / (2 * total)) / (1 + square / total)
    half = _Z / (1 + square / total) * sqrt(share * (1 - share) / total + square / (4 * total * total))
    return Precision(share, max(0.0, centre - half), min(1.0, centre + half))


def a_day(matches: int, since: datetime, until: datetime) -> float:
    """Matches a day; less than a day counts as one, so that a rule of this minute isn't called the noisiest."""
    return matches / max(1.0, (until - since) / timedelta(days=1))
