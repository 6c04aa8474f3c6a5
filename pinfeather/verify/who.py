"""Which service a name stands for, where nobody said so: learnt of the questions that it answered, and last of the weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product

from pinfeather.verify.asking import Unfit
from pinfeather.verify.binomial import bounds
from pinfeather.verify.column import Column, Expected
from pinfeather.verify.judging import Cell, Judged, Observed
from pinfeather.verify.naming import Learnt
from pinfeather.verify.questions import Question

MOST = 4096
"""So many ways to share out names over services are tried."""


@dataclass(slots=True)
class Asked:
    """One question, what is expected of each proxy, and what came."""

    question: Question
    base: tuple[Expected, ...]
    count: int
    different: tuple[Cell | None, ...]
    """Of each proxy, why it is not asked."""
    judged: list[Judged] = field(default_factory=list)

    @property
    def sticky(self) -> bool:
        return any(one.bound for one in self.base)


def name_servers(
    columns: Sequence[Column], asked: Sequence[Asked], observed: Sequence[Sequence[Sequence[Observed]]], doubt: Fraction
) -> None:
    """Learn who the names are, first from where one service alone may answer. Raises Unfit for services without a name."""
    for at, column in enumerate(columns):
        silent: dict[str, None] = {}
        named = False
        order = sorted(range(len(asked)), key=lambda place: len({one.service for one in asked[place].base}))
        for place in order:
            one = asked[place]
            expected = column.expected(one.question.request, None, user=one.question.user)
            services = frozenset(each.service for each in expected if each.service)
            for each in observed[place][at]:
                named |= bool(each.name)
                if each.name:
                    fitting = column.met(each.answer, each.name, expected)
                    lines = len(column.set_cookies(each.answer))
                    exact = [one for one in fitting if len(one.bound) == lines]
                    column.naming.learn(each.name, frozenset(one.service for one in exact) or services, one.question.text)
                elif services and each.answer.status == 200 and not any(not one.service for one in expected):
                    silent.update(dict.fromkeys(sorted(services)))
        if silent and not named:
            raise Unfit(
                f"{column.name}: nobody says who answered ({column.identify.said}): {', '.join(silent)}. "
                "Say where the name is: --identify header:NAME, body:REGEX, or cookie"
            )
        if isinstance(column.naming, Learnt):
            _settle(column, column.naming, [(one, observed[place][at]) for place, one in enumerate(asked)], doubt)


def _settle(column: Column, naming: Learnt, came: Sequence[tuple[Asked, Sequence[Observed]]], doubt: Fraction) -> None:
    """A name that may be several services is the one that the counts allow: each way to share names out is held against the weights.

    Where none fits, the nearest is taken, so that the counts are called wrong; where several do, the first: nothing tells them apart.
    """
    open_ = {name: sorted(services) for name, services in naming.names().items() if len(services) > 1}
    ways = 1
    for services in open_.values():
        ways *= len(services)
    if not open_ or ways > MOST:
        return
    counts = [_count(column, one, row) for one, row in came if row]
    fixed = {name: next(iter(services)) for name, services in naming.names().items() if len(services) == 1}

    def amiss(way: Sequence[str]) -> Fraction:
        whose = {**fixed, **dict(zip(open_, way, strict=True))}
        return sum((_amiss(count, shares, whose, doubt) for count, shares in counts), Fraction(0))

    best = min(product(*open_.values()), key=amiss)
    for name, service in zip(open_, best, strict=True):
        naming.learn(name, frozenset((service,)), "the weights")


def _count(column: Column, one: Asked, row: Sequence[Observed]) -> tuple[Counter[str], Mapping[str, Fraction]]:
    shares: dict[str, Fraction] = {}
    for each in column.expected(one.question.request, None, user=one.question.user):
        if each.service:
            shares[each.service] = shares.get(each.service, Fraction(0)) + each.share
    return Counter(each.name for each in row if each.name), shares


def _amiss(count: Counter[str], shares: Mapping[str, Fraction], whose: Mapping[str, str], doubt: Fraction) -> Fraction:
    """How far the counts of services are from what chance explains."""
    asked = count.total()
    found = Counter[str]()
    for name, number in count.items():
        found[whose.get(name, "")] += number
    return sum(_outside(found[service], asked, share, doubt) for service, share in shares.items()) or Fraction(0)


def _outside(number: int, asked: int, share: Fraction, doubt: Fraction) -> Fraction:
    low, high = bounds(asked, share, doubt) if asked else (0, 0)
    return Fraction(max(low - number, number - high, 0), asked or 1)
