"""Which service a name stands for, where nobody said so: learnt of the questions that it answered, and last of the weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product

from pinfeather.verify.asking import Unfit
from pinfeather.verify.binomial import bounds
from pinfeather.verify.column import Column, Expected
from pinfeather.verify.judging import Cell, Judged, Observed
from pinfeather.verify.naming import Learnt
from pinfeather.verify.questions import Question, Rungs, rungs

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
    def rungs(self) -> Rungs:
        """The route and canary that answer, and the entry point."""
        return rungs(self.question, self.base)

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
    """A name that may be in several places is in the one that the counts allow: each way to share names out is held against the weights.

    Where none fits, the nearest is taken, so that the counts are called wrong; where several do, the first: nothing tells them apart.
    Raises Unfit where the ways are too many to try.
    """
    naming.by_words()
    open_ = {name: places for name in naming.names() if len(places := naming.places(name)) > 1}
    ways = 1
    for places in open_.values():
        ways *= len(places)
    if not open_:
        return
    if ways > MOST:
        services = sorted({service for name in open_ for service in naming.names()[name]})
        raise Unfit(
            f"{column.name}: {len(open_)} servers answer for {' and '.join(services)}, and no question tells whose they are; they are too "
            f"many to tell by the weights. Say it: --name {next(iter(open_))}={services[0]}, and so on for {', '.join(list(open_)[1:4])} …"
        )
    counts = [_count(column, one, row) for one, row in came if row]
    fixed = {name: services for name, services in naming.names().items() if name not in open_}

    def amiss(way: Sequence[frozenset[str]]) -> Fraction:
        whose = {**fixed, **{name: naming.whose(keys) for name, keys in zip(open_, way, strict=True)}}
        return sum((_amiss(count, shares, whose, doubt) for count, shares in counts), Fraction(0))

    best = min(product(*open_.values()), key=amiss)
    for name, keys in zip(open_, best, strict=True):
        naming.settle(name, keys)


def _count(column: Column, one: Asked, row: Sequence[Observed]) -> tuple[Counter[str], Mapping[str, Fraction]]:
    shares: dict[str, Fraction] = {}
    for each in column.expected(one.question.request, None, user=one.question.user):
        if each.service:
            shares[each.service] = shares.get(each.service, Fraction(0)) + each.share
    return Counter(each.name for each in row if each.name), shares


def _amiss(count: Counter[str], shares: Mapping[str, Fraction], whose: Mapping[str, frozenset[str]], doubt: Fraction) -> Fraction:
    """How far the counts of services are from what chance explains. A name of two services that may both answer counts for neither."""
    asked = count.total()
    found = Counter[str]()
    for name, number in count.items():
        services = [service for service in whose.get(name, ()) if service in shares]
        if len(services) > 1:
            return Fraction(0)
        found.update(dict.fromkeys(services, number))
    return sum(_outside(found[service], asked, share, doubt) for service, share in shares.items()) or Fraction(0)


def _outside(number: int, asked: int, share: Fraction, doubt: Fraction) -> Fraction:
    low, high = bounds(asked, share, doubt) if asked else (0, 0)
    return Fraction(max(low - number, number - high, 0), asked or 1)


def learnt(columns: Sequence[Column]) -> Iterator[str]:
    """Whose each name was found to be, for the reader of the table."""
    for column in columns:
        if not isinstance(column.naming, Learnt):
            continue
        names = "; ".join(f"{name} is {' or '.join(sorted(services))}" for name, services in column.naming.names().items())
        yield (
            f"{column.name}: who is who was learnt ({column.identify.said}): {names or 'nobody'}. "
            "Services are compared; which of their servers is which is not known."
        )
        if guessed := list(column.naming.by_weights):
            yield (
                f"{column.name}: whose {' and '.join(guessed[:3])}{' …' if len(guessed) > 3 else ''} are, only the weights say: "
                f"whether two services are swapped is not seen. Say it: --name {guessed[0]}=SERVICE."
            )
