"""What chance does not explain in the answers to one question, and what is not to the letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, NamedTuple

from pinfeather.model.sticky import set_cookie
from pinfeather.verify.asking import Answer
from pinfeather.verify.binomial import bounds
from pinfeather.verify.column import Client, Column, Expected
from pinfeather.verify.naming import Learnt

State = Literal["ok", "WRONG", "loss", "near", "not asked"]


@dataclass(frozen=True, slots=True)
class Cell:
    """What one proxy did, in few words, and everything about it that is not as expected."""

    text: str
    faults: tuple[str, ...] = ()
    state: State = "ok"

    @classmethod
    def of(cls, text: str, faults: Sequence[str]) -> Cell:
        return cls(text, tuple(faults), "WRONG" if faults else "ok")


class Row(NamedTuple):
    """One question to all proxies."""

    question: str
    expected: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    """Lines that `expected` refers to: cookies and header fields, to the letter."""
    remark: str = ""

    @property
    def holds(self) -> bool:
        return not any(cell.faults for cell in self.cells)

    @property
    def verdict(self) -> str:
        if not self.holds:
            return "WRONG"
        return "ok" if any(cell.state == "ok" for cell in self.cells) else "-"


class Observed(NamedTuple):
    answer: Answer
    name: str
    sent: dict[str, str]


@dataclass(slots=True)
class Judged:
    """The answers to one question through one proxy."""

    asked: int
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    swappable: bool = False
    """Whether somebody answered of whom only these counts say who it is."""

    def cell(self, expected: Sequence[Expected]) -> Cell:
        services = list(dict.fromkeys(one.who for one in expected))
        strays = self.asked - sum(self.counts.values())
        if len(services) == 1:
            text = f"{self.counts.total()} of {self.asked}"
        else:
            text = " + ".join(str(self.counts[service]) for service in services)
            merged = sum(count for who, count in self.counts.items() if who not in services)
            text += (f" + {merged} not told apart" if merged else "") + f" of {self.asked}"
        if self.swappable and not self.faults and len(services) > 1:
            return Cell(f"{text}, or the other way round", state="not asked")
        return Cell.of(text + (f", {strays} wrong" if strays and len(services) > 1 else ""), self.faults)


def judge(column: Column, expected: Sequence[Expected], observed: Sequence[Observed], doubt: Fraction, *, count: bool = True) -> Judged:
    """Hold answers against all that may happen. `count`: whether how often each came matters, too."""
    judged = Judged(len(observed))
    groups: Counter[frozenset[str]] = Counter()
    for each in observed:
        met = column.met(each.answer, each.name, expected)
        if not met:
            judged.faults.append(_stray(each))
            continue
        wrong = [list(column.faults(each.answer, one)) for one in met]
        best = min(range(len(met)), key=lambda at: len(wrong[at]))
        if wrong[best]:
            judged.faults.append("; ".join(wrong[best]))
        one = met[best]
        groups[frozenset(_key(column, each_met) for each_met in met)] += 1
        whose = {each_met.who for each_met in met}
        judged.counts[one.who if len(whose) == 1 else "?"] += 1
        if one.service:
            judged.clients.append(column.client(each.answer, each.name, one))
    if isinstance(column.naming, Learnt):
        judged.swappable = any(each.name in column.naming.by_weights for each in observed)
    if count and observed:
        judged.faults += _by_chance(column, expected, groups, len(observed), doubt)
    return judged


def _stray(each: Observed) -> str:
    if each.name:
        return f"{each.name} answered, which the document sends nobody to"
    return f"{each.answer.text}, from nobody that has a name" if each.answer.status else each.answer.text


def _key(column: Column, one: Expected) -> str:
    return one.server if column.naming.exact and one.server else one.who


def _by_chance(column: Column, expected: Sequence[Expected], groups: Counter[frozenset[str]], asked: int, doubt: Fraction) -> list[str]:
    """Counts outside of their bounds. What an answer does not tell apart is counted together."""
    together: list[set[str]] = []
    for who in (*groups, *(frozenset((_key(column, one),)) for one in expected)):
        joined = set(who)
        for other in [each for each in together if each & joined]:
            together.remove(other)
            joined |= other
        together.append(joined)
    faults = []
    for part in together:
        share = sum((one.share for one in expected if _key(column, one) in part), Fraction(0))
        count = sum(number for who, number in groups.items() if who <= part)
        low, high = bounds(asked, share, doubt)
        if not low <= count <= high:
            said = " or ".join(sorted(column.names.get(who, who) for who in part))
            faults.append(f"{said} answered {count} of {asked}: outside of {low} to {high}")
    return faults


# In words -----------------------------------------------------------------------------------------------------------------


def in_words(expected: Sequence[Expected], asked: int, doubt: Fraction) -> str:
    """Who answers; where there are several, how often, and what chance explains."""
    shares: dict[str, Fraction] = {}
    for one in expected:
        shares[one.said] = shares.get(one.said, Fraction(0)) + one.share
    if len(shares) == 1:
        return next(iter(shares))
    parts = []
    for who, share in shares.items():
        low, high = bounds(asked, share, doubt)
        parts.append(f"{who} {float(share * asked):.4g} ({low}-{high})")
    return ", ".join(parts)


def notes(column: Column, expected: Sequence[Expected]) -> tuple[str, ...]:
    """The cookies that are set, and the header fields, as lines."""
    cookies = dict.fromkeys(f"Set-Cookie: {text}" for one in expected for text in column.texts(one))
    headers = dict.fromkeys(f"{name}: {value}" if value else f"no {name}" for one in expected for name, value in one.headers)
    return (*cookies, *headers)


def signature(column: Column, expected: Sequence[Expected]) -> dict[object, Fraction]:
    """What may happen, in words that dialects have in common."""
    found: dict[object, Fraction] = {}
    for one in expected:
        who = column.names.get(one.server, one.server) or (str(one.status) if one.route else "no route")
        cookies = tuple(sorted(set_cookie(column.pools[each.cookie.name][0], "") for each in one.bound))
        key = (who, cookies, one.headers, one.location, bool(one.unknown), one.path, one.fields)
        found[key] = found.get(key, Fraction(0)) + one.share
    return found


def codes(base: Column, column: Column, expected: Sequence[Expected], family: str) -> str:
    """The findings that have to do with a decision: those of its route, services and middlewares; else all of the family."""
    names = {one.route for one in expected} | {one.service for one in expected}
    routes = {at for at, route in enumerate(base.document.routes) if route.name in names}
    said = [finding for finding in column.losses if str(finding.code).startswith(family)]
    close = [finding for finding in said if len(finding.path) > 1 and (finding.path[1] in routes or finding.path[1] in names)]
    return ", ".join(dict.fromkeys(str(finding.code) for finding in (close or said)[:2]))


def nearly(cell: Cell, base: Column, column: Column, expected: Sequence[Expected]) -> Cell:
    """What a dialect only nearly says may come out otherwise, and is named."""
    said = codes(base, column, expected, "near.") if cell.faults else ""
    return Cell(f"{said}: {cell.text}", state="near") if said else cell
