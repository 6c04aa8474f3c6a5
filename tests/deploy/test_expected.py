"""What the table expects: its arithmetic against brute force, and that every number and name is the document's."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import pytest

from pinfeather.deploy.expected import Story, Unfit, bounds, enough, shares
from pinfeather.proxy.loading import load_canonical

_SHOP = Path(__file__).parents[2] / "stacks" / "dev" / "shop.yaml"


# Arithmetic ------------------------------------------------------------------------------------------------------------


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


def test_bounds_of_the_real_question_refuse_one_in_a_million() -> None:
    low, high = bounds(200, Fraction(1, 10))

    def below(count: int) -> float:
        chance, total = 0.9**200, 0.0
        for k in range(count + 1):
            total += chance
            chance *= (200 - k) / (k + 1) / 9
        return total

    assert below(low - 1) <= 5e-7 < below(low)
    assert 1 - below(high) <= 5e-7 < 1 - below(high - 1)


@pytest.mark.parametrize("share", [Fraction(0), Fraction(1, 10), Fraction(1, 2), Fraction(9, 10)])
def test_enough_tells_all_from_some(share: Fraction) -> None:
    asked = enough(share, 1)
    assert share**asked <= Fraction(1, 2 * 10**6)
    assert asked == 1 or share ** (asked - 1) > Fraction(1, 2 * 10**6)
    assert enough(share, asked + 7) == asked + 7


def test_a_split_that_sends_everybody_to_the_canary_tells_nothing() -> None:
    with pytest.raises(Unfit, match="nothing tells testers from others"):
        enough(Fraction(1), 20)


# What is expected ------------------------------------------------------------------------------------------------------


def test_expectations_come_from_the_document() -> None:
    text = _SHOP.read_text()
    for old, new in (
        ("weight: 90", "weight: 70"),
        ("weight: 10", "weight: 30"),
        ("canary, value: v2", "beta, value: yes-1"),
        ("srv_v1", "pin"),
    ):
        assert old in text
        text = text.replace(old, new)
    story = Story.of(load_canonical("shop.yaml", text))
    assert (story.tester, story.stranger) == (("beta", "yes-1"), ("notbeta", "yes-11"))
    fresh = story.expected({})
    assert shares(fresh) == {"shop-v1": Fraction(7, 10), "shop-v2": Fraction(3, 10)}
    assert sum(one.share for one in fresh) == 1
    assert {tuple(cookie.name for cookie, _ in one.set_cookies) for one in fresh} == {("shop_variant", "pin"), ("shop_variant", "srv_v2")}
    assert fresh[0].headers["X-Content-Type-Options"] == "nosniff"
    assert shares(story.expected(dict((story.tester,)))) == {"shop-v2": Fraction(1)}
    assert shares(story.expected(dict((story.stranger,)))) == shares(fresh)
    first = fresh[0]
    (bound,) = story.expected({}, {cookie.name: binding for cookie, binding in first.set_cookies})
    assert (bound.server, bound.set_cookies) == (first.server, ())
