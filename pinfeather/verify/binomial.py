"""What chance explains: exact binomial bounds, in whole numbers, and how many to ask so that a count says something."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from math import exp, lgamma, log, sqrt

DOUBT = Fraction(1, 10**6)
"""How improbable a count must be before it is called wrong."""
MOST = 100_000
"""More than this is never asked for one question: the bounds would take minutes to work out."""
ODDS = 3
"""A share whose odds are so many times what is written is noticed: a tenth that is a quarter, a half that is three quarters."""
MISSED = 0.01
"""How often that is not noticed."""


@lru_cache(maxsize=4096)
def bounds(asked: int, share: Fraction, doubt: Fraction = DOUBT) -> tuple[int, int]:
    """The smallest and the largest count that chance explains, when each of `asked` answers is one with probability `share`.

    An exact two-sided binomial test: a count is refused when it, or one farther out on its side, has a probability of at
    most `doubt` / 2. All in whole numbers: with share = a/b, the probability of k is comb(asked, k) a^k (b-a)^(asked-k) / b^asked.
    """
    if 2 * share > 1:  # the same from the other side, where the terms that matter come early
        low, high = bounds(asked, 1 - share, doubt)
        return asked - high, asked - low
    hit, total = share.numerator, share.denominator
    every = total**asked
    limit = doubt * every
    term = (total - hit) ** asked  # of no hit at all; each other one is made of the one before, and divides without a rest
    below, low = 0, -1
    for count in range(asked + 1):
        below += term
        if low < 0 and 2 * below > limit:
            low = count
        if 2 * (every - below) <= limit:
            return low, count
        term = term * (asked - count) * hit // ((count + 1) * (total - hit))
    raise AssertionError("the probabilities sum to one")


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


def to_notice(share: Fraction, doubt: Fraction = DOUBT) -> int:
    """How many to ask so that three times the odds for the smaller side, and none of it at all, are noticed.

    None at all is always noticed, three times the odds in all but one of a hundred runs. How often is worked out in floats: nothing
    is judged by it. Raises ValueError: see `to_see`.
    """
    small = min(share, 1 - share)
    if small <= 0:
        return 1
    asked = to_see(small, doubt)
    is_, other = float(small), float(ODDS * small / (1 + (ODDS - 1) * small))
    far = sqrt(-2 * log(float(doubt) / 2))  # not fewer deviations than the bound is away: a start that is too small would be slow
    least = ((far * sqrt(is_ * (1 - is_)) + 2 * sqrt(other * (1 - other))) / (other - is_)) ** 2
    asked = max(asked, int(0.7 * least))
    while asked <= MOST and _at_least(asked, other, _highest(asked, is_, float(doubt)) + 1) < 1 - MISSED:
        asked += max(1, asked // 50)
    return asked


def to_notice_each(shares: Iterable[Fraction], doubt: Fraction = DOUBT) -> int:
    """How many to ask so that each of these shares is told from another one: see `to_notice`."""
    return max((to_notice(share, doubt) for share in shares if 0 < share < 1), default=1)


def to_tell(share: Fraction, other: Fraction, doubt: Fraction = DOUBT) -> int:
    """How many to ask so that answers of the share `other` are taken for `share` with a probability of at most `doubt`.

    Worked out in floats: nothing is judged by it. Raises ValueError for two that are the same, or so near that it takes more than `MOST`.
    """
    if other < share:  # the same from the other side
        return to_tell(1 - share, 1 - other, doubt)
    if other == share:
        raise ValueError("one share is not told from itself")
    if share == 0:
        return to_see(other, doubt)
    is_, seen = float(share), float(other)
    far = sqrt(-2 * log(float(doubt) / 2))  # see `to_notice`
    asked = max(1, int(0.5 * (far * (sqrt(is_ * (1 - is_)) + sqrt(seen * (1 - seen))) / (seen - is_)) ** 2))
    while asked <= MOST:
        most = _highest(asked, is_, float(doubt))
        if _at_least(asked, 1 - seen, asked - most) <= float(doubt):
            return asked
        asked += max(1, asked // 50)
    raise ValueError(f"a share of {share} is told from {other} by more than {MOST} requests only")


def _highest(asked: int, share: float, doubt: float) -> int:
    """The largest count that chance explains, as `bounds` has it."""
    count = int(asked * share)
    while count < asked and _at_least(asked, share, count + 1) > doubt / 2:
        count += 1
    return count


def _at_least(asked: int, share: float, count: int) -> float:
    """How probable it is that so many, or more, are of this share."""
    if count > asked:
        return 0.0
    if share in (0, 1) or not count:
        return 1.0 if share == 1 or not count else 0.0
    total, term = (
        0.0,
        exp(lgamma(asked + 1) - lgamma(count + 1) - lgamma(asked - count + 1) + count * log(share) + (asked - count) * log(1 - share)),
    )
    for number in range(count, asked + 1):
        total += term
        term *= (asked - number) / (number + 1) * share / (1 - share)
        if term < total * 1e-12 and number > asked * share:
            break
    return total
