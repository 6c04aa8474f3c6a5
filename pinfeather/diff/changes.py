"""How what happens to a request on one side differs from what happens on the other: the kind of change, and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from fractions import Fraction
from typing import NamedTuple, TypeVar

from pinfeather.diff.rungs import Attribute, Region, Step
from pinfeather.diff.sides import Landing, Side
from pinfeather.model.balance import Fork
from pinfeather.model.decide import Request

Shares = Mapping[Landing, Fraction]
K = TypeVar("K")


class Kind(IntEnum):
    """The worst first: who is let in comes before where they go."""

    UNGUARDED = 0
    OTHERWISE_GUARDED = 1
    ADMITTED = 2
    REFUSED = 3
    GUARDED = 4
    MOVED = 5
    PASSES = 6
    COOKIES = 7


SAID = {
    Kind.UNGUARDED: "no longer asked for what was asked before",
    Kind.OTHERWISE_GUARDED: "asked for something else than before",
    Kind.ADMITTED: "let in now",
    Kind.REFUSED: "refused now",
    Kind.GUARDED: "asked for more than before",
    Kind.MOVED: "sent elsewhere",
    Kind.PASSES: "passed through other middlewares",
    Kind.COOKIES: "given other cookies",
}


class Change(NamedTuple):
    """What differs for a request. `moved`: the share of new clients that end at another server."""

    kind: Kind
    moved: Fraction
    before: tuple[tuple[Landing, Fraction], ...]
    after: tuple[tuple[Landing, Fraction], ...]

    @property
    def guards(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What was asked before and is not now, and the other way round."""
        before, after = dict(self.before), dict(self.after)
        return tuple(sorted(_not_asked(before, after))), tuple(sorted(_not_asked(after, before)))

    @property
    def let_in(self) -> Fraction:
        """How many more of new clients are let in without what was asked before."""
        before, after = dict(self.before), dict(self.after)
        return max((_without(after, guard) - _without(before, guard) for guard in self.guards[0]), default=Fraction(0))


def compare(before: Side, after: Side, request: Request, bound: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})) -> Change | None:
    """None: the same happens. `bound`: what the client is bound to on either side, by pool."""
    return changed(before.landings(request, bound[0]), after.landings(request, bound[1]))


def changed(before: Shares, after: Shares) -> Change | None:
    if _plain(before) == _plain(after):
        return None
    moved = _apart(_by_server(before), _by_server(after))
    return Change(_kind(before, after, moved), moved, _ordered(before), _ordered(after))


def _kind(before: Shares, after: Shares, moved: Fraction) -> Kind:
    was_in = sum((share for one, share in before.items() if one.status == 200), Fraction(0))
    is_in = sum((share for one, share in after.items() if one.status == 200), Fraction(0))
    lost, gained = _not_asked(before, after), _not_asked(after, before)
    if was_in and is_in and lost:
        return Kind.OTHERWISE_GUARDED if gained - lost else Kind.UNGUARDED
    if is_in != was_in:
        return Kind.ADMITTED if is_in > was_in else Kind.REFUSED
    if gained:
        return Kind.GUARDED
    if moved:
        return Kind.MOVED
    return Kind.PASSES if _by_passes(before) != _by_passes(after) else Kind.COOKIES


def _not_asked(before: Shares, after: Shares) -> frozenset[str]:
    """What some were asked for before, where more are let in without it now; of all clients, or on the way to one server of both sides."""
    found = _fewer(before, after)
    for server in {one.server for one in before} & {one.server for one in after}:
        found |= _guards(_to(before, server)) - _guards(_to(after, server))
    return found


def _fewer(before: Shares, after: Shares) -> frozenset[str]:
    asked = frozenset(guard for one in before if one.status == 200 for guard in one.guards)
    return frozenset(guard for guard in asked if _without(after, guard) > _without(before, guard))


def _without(shares: Shares, guard: str) -> Fraction:
    """The share that is let in and not asked for this."""
    return sum((share for one, share in shares.items() if one.status == 200 and guard not in one.guards), Fraction(0))


def _to(shares: Shares, server: str) -> Shares:
    return {one: share for one, share in shares.items() if one.server == server}


def _guards(shares: Shares) -> frozenset[str]:
    """What everybody who is let in was asked for."""
    each = [one.guards for one in shares if one.status == 200]
    return each[0].intersection(*each[1:]) if each else frozenset()


def _plain(shares: Shares) -> dict[Landing, Fraction]:
    return _summed(shares, lambda one: one.plain)


def _by_server(shares: Shares) -> dict[tuple[int, str], Fraction]:
    return _summed(shares, lambda one: (one.status, one.server))


def _by_passes(shares: Shares) -> dict[tuple[str, ...], Fraction]:
    return _summed(shares, lambda one: one.passes)


def _summed(shares: Shares, key: Callable[[Landing], K]) -> dict[K, Fraction]:
    summed: dict[K, Fraction] = {}
    for one, share in shares.items():
        summed[key(one)] = summed.get(key(one), Fraction(0)) + share
    return summed


def _apart(before: Mapping[K, Fraction], after: Mapping[K, Fraction]) -> Fraction:
    """The least share that has to move to make one of the other."""
    return sum((max(share - after.get(one, Fraction(0)), Fraction(0)) for one, share in before.items()), Fraction(0))


def _ordered(shares: Shares) -> tuple[tuple[Landing, Fraction], ...]:
    return tuple(sorted(shares.items(), key=lambda pair: (-pair[1], pair[0])))


class Found(NamedTuple):
    """A class of requests that differ: one of them, the rungs that take it, and what changes."""

    region: Region
    before: Step | None
    after: Step | None
    change: Change


def found(before: Side, after: Side, region: Region, one: Step | None, other: Step | None) -> Found | None:
    """Ask both tables for the request itself: what the walk thinks is believed only where they say so."""
    for each in (region, *_bound(region, one), *_bound(region, other)):
        bound = before.bound(each.bound), after.bound(each.bound)
        if (change := compare(before, after, each.request, bound)) is not None:
            return Found(each, one, other, change)
    return None


def _bound(region: Region, step: Step | None) -> Iterator[Region]:
    """The same for clients that are bound to a variant of the split that the rung leads to: new ones may fare alike, and these not."""
    split = step.way.to if step is not None else None
    if step is None or not isinstance(split, Fork) or split.cookie is None:
        return
    attribute = Attribute("bound", step.side.pools[split.cookie.name][0].name)
    if attribute not in region.values:
        yield from (region.having(attribute, (name,)) for name in split.names)
