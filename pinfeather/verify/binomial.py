"""What chance explains: exact binomial bounds, in whole numbers, and how many to ask so that a count says something."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from math import comb, log

DOUBT = Fraction(1, 10**6)
"""How improbable a count must be before it is called wrong."""
MOST = 100_000
"""More than this is never asked for one question: the bounds would take minutes to work out."""


@lru_cache(maxsize=4096)
def bounds(asked: int, share: Fraction, doubt: Fraction = DOUBT) -> tuple[int, int]:
    """The smallest and the largest count that chance explains, when each of `asked` answers is one with probability `share`.

    An exact two-sided binomial test: a count is refused when it, or one farther out on its side, has a probability of at
    most `doubt` / 2. All in whole numbers: with share = a/b, the probability of k is comb(asked, k) a^k (b-a)^(asked-k) / b^asked.
    """
    hit, total = share.numerator, share.denominator
    limit = doubt * total**asked

    def first(counts: range) -> int:
        tail = 0
        for count in counts:
            tail += comb(asked, count) * hit**count * (total - hit) ** (asked - count)
            if 2 * tail > limit:
                return count
        raise AssertionError("the probabilities sum to one")

    return first(range(asked + 1)), first(range(asked, -1, -1))


def to_see(share: Fraction, doubt: Fraction = DOUBT) -> int:
    """How many to ask so that chance does not explain it when none of the answers is one of this share: the least n
    with (1 - share)^n at most doubt / 2. Raises ValueError for a share that is not above 0, or so small that it takes more than `MOST`.
    """
    if not 0 < share <= 1:
        raise ValueError("what never happens is never seen")
    missed = 1 - share
    if missed == 0:
        return 1
    guess = log(float(doubt / 2)) / log(1 - float(share)) if float(share) < 1 else 1.0
    if guess > MOST:
        raise ValueError(f"a share of {share} takes {guess:.0f} requests to be seen")
    asked = max(1, int(guess) - 2)
    while 2 * missed**asked > doubt:
        asked += 1
    return asked


def to_see_each(shares: Iterable[Fraction], doubt: Fraction = DOUBT) -> int:
    """How many to ask so that each of these shares is told from none, and from all."""
    some = [share for share in shares if 0 < share < 1]
    return max((to_see(min(share, 1 - share), doubt) for share in some), default=1)
