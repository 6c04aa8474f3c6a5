"""Weights of a split at a share of one of its entries. Whole numbers and exact fractions, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

LARGEST = 2**31 - 1
"""The largest weight that a document can hold."""


class UnsayableError(ValueError):
    """No weights of a document say it; the text says why."""


def share_of(weights: Sequence[int], raised: int) -> Fraction:
    """The part of 1 that an entry has."""
    return Fraction(weights[raised], sum(weights))


def weights_at(weights: Sequence[int], raised: int, share: Fraction) -> tuple[int, ...]:
    """The weights at which the entry `raised` has `share`, and the others share the rest as they do in `weights`.

    Of the same sum, else of 100, else the smallest that are whole. Raises UnsayableError.
    """
    others = sum(weights) - weights[raised]
    if not others and share != 1:
        raise UnsayableError("the others have no weight, so nothing says how they would share the rest")
    rest = (1 - share) / others if others else Fraction(0)
    parts = [share if index == raised else weight * rest for index, weight in enumerate(weights)]
    smallest = lcm(*(part.denominator for part in parts))
    whole = next((each for each in (sum(weights), 100) if each % smallest == 0), smallest)
    found = tuple(int(part * whole) for part in parts)
    if max(found) > LARGEST:
        raise UnsayableError(f"at {percent(share)} that would take the weights {', '.join(map(str, found))}, and {LARGEST} is the largest")
    return found


def percent(share: Fraction) -> str:
    """A share for people: `12.5 %`. Cut where it has no end."""
    return f"{float(share * 100):.6g} %"
