"""The bounds against brute force, and how many to ask."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather.verify.binomial import DOUBT, MOST, ODDS, bounds, to_notice, to_notice_each, to_see, to_see_each, to_tell
from pinfeather.verify.questions import _told


def _probabilities(asked: int, share: Fraction) -> list[Fraction]:
    """The probability of each count, by going through every sequence of answers there can be."""
    found = [Fraction(0)] * (asked + 1)
    for answers in itertools.product((True, False), repeat=asked):
        chance = Fraction(1)
        for answer in answers:
            chance *= share if answer else 1 - share
        found[sum(answers)] += chance
    return found


@pytest.mark.parametrize("share", [Fraction(0), Fraction(1), Fraction(1, 2), Fraction(1, 10), Fraction(9, 10), Fraction(2, 3)])
@pytest.mark.parametrize("doubt", [Fraction(1, 2), Fraction(1, 20), Fraction(1, 1000)])
def test_bounds_are_what_brute_force_finds(share: Fraction, doubt: Fraction) -> None:
    for asked in range(11):
        chances = _probabilities(asked, share)
        explained = [k for k in range(asked + 1) if sum(chances[: k + 1]) > doubt / 2 and sum(chances[k:]) > doubt / 2]
        assert bounds(asked, share, doubt) == (explained[0], explained[-1])


def test_bounds_of_a_real_question_refuse_one_in_a_million() -> None:
    asked, share = 283, Fraction(1, 10)
    low, high = bounds(asked, share)
    chances = [Fraction(1)] * 0
    term = (1 - share) ** asked
    for count in range(asked + 1):
        chances.append(term)
        term = term * (asked - count) / (count + 1) * share / (1 - share)
    limit = Fraction(1, 2 * 10**6)
    assert sum(chances) == 1
    assert sum(chances[:low]) <= limit < sum(chances[: low + 1])
    assert sum(chances[high + 1 :]) <= limit < sum(chances[high:])


@settings(deadline=None)
@given(st.fractions(Fraction(1, 200), Fraction(199, 200), max_denominator=200), st.sampled_from([Fraction(1, 10**6), Fraction(1, 100)]))
def test_so_many_are_enough_and_one_fewer_is_not(share: Fraction, doubt: Fraction) -> None:
    number = to_see(share, doubt)
    assert 2 * (1 - share) ** number <= doubt
    assert number == 1 or 2 * (1 - share) ** (number - 1) > doubt
    assert bounds(number, share, doubt)[0] >= 1


def test_a_share_that_is_always_or_nearly_never_there() -> None:
    assert to_see(Fraction(1)) == 1
    assert to_see_each([Fraction(1)]) == 1
    assert to_see_each([Fraction(1, 10), Fraction(9, 10)]) == to_see(Fraction(1, 10))
    with pytest.raises(ValueError, match="never happens"):
        to_see(Fraction(0))
    with pytest.raises(ValueError, match="takes"):
        to_see(Fraction(1, MOST * 100))


@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(1, 3), Fraction(1, 10), Fraction(9, 10), Fraction(1, 40)])
def test_three_times_the_odds_are_noticed_all_but_one_time_of_a_hundred(share: Fraction) -> None:
    """Worked out here in whole numbers, of the smaller side; a tenth fewer would not do, where it is not the sight of none that asks for so many."""
    small = min(share, 1 - share)
    other = ODDS * small / (1 + (ODDS - 1) * small)

    def missed(asked: int) -> Fraction:
        low, high = bounds(asked, small)
        chances, term = Fraction(0), (1 - other) ** asked
        for count in range(high + 1):
            chances += term if count >= low else 0
            term = term * (asked - count) / (count + 1) * other / (1 - other)
        return chances

    asked = to_notice(share)
    assert missed(asked) <= Fraction(1, 100)
    assert bounds(asked, small)[0] >= 1, "none at all is noticed"
    assert missed(asked * 9 // 10) > Fraction(1, 100)


@settings(deadline=None, max_examples=40)
@given(
    st.fractions(0, 1, max_denominator=20),
    st.fractions(0, 1, max_denominator=20),
    st.sampled_from([Fraction(1, 10**6), Fraction(1, 100)]),
)
def test_so_many_tell_two_shares_apart(share: Fraction, other: Fraction, doubt: Fraction) -> None:
    """Worked out here in whole numbers (`to_tell` is in floats: a thousandth is theirs); three tenths fewer would not do."""

    def taken(asked: int) -> Fraction:
        low, high = bounds(asked, share, doubt)
        return sum(
            (Fraction(comb(asked, count)) * other**count * (1 - other) ** (asked - count) for count in range(low, high + 1)), Fraction(0)
        )

    if share == other:
        with pytest.raises(ValueError, match="itself"):
            to_tell(share, other, doubt)
        return
    asked = to_tell(share, other, doubt)
    assert taken(asked) <= doubt * Fraction(1001, 1000)
    assert asked < 30 or taken(asked * 7 // 10) > doubt


def test_the_share_that_tells_most_tells() -> None:
    """A third variant whose share hardly moves is no hindrance."""
    now = {"a": Fraction(699, 1000), "b": Fraction(3, 10), "c": Fraction(1, 1000)}
    before = {"a": Fraction(8991, 10000), "b": Fraction(1, 10), "c": Fraction(9, 10000)}
    with pytest.raises(ValueError, match="by more than"):
        to_tell(now["c"], before["c"])
    assert _told(now, before, DOUBT) == min(to_tell(now["a"], before["a"]), to_tell(now["b"], before["b"]))
    assert _told(now, now, DOUBT) == 1
    with pytest.raises(ValueError, match="by more than"):
        _told({"a": Fraction(1, 2), "b": Fraction(1, 2)}, {"a": Fraction(5001, 10000), "b": Fraction(4999, 10000)}, DOUBT)


def test_two_shares_may_be_too_near() -> None:
    with pytest.raises(ValueError, match="by more than 100000 requests only"):
        to_tell(Fraction(1, 2), Fraction(1, 2) + Fraction(1, 1000))


def test_what_has_one_outcome_is_asked_once() -> None:
    assert to_notice(Fraction(1)) == 1
    assert to_notice_each([Fraction(1), Fraction(0)]) == 1
    assert to_notice_each([Fraction(1, 2), Fraction(1, 10)]) == to_notice(Fraction(1, 10))


@settings(deadline=None)
@given(st.integers(1, 400), st.fractions(Fraction(1, 50), Fraction(49, 50), max_denominator=50))
def test_bounds_are_those_of_the_other_side(asked: int, share: Fraction) -> None:
    low, high = bounds(asked, share)
    assert bounds(asked, 1 - share) == (asked - high, asked - low)
