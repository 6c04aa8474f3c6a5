"""Both documents, walked together: for each host and path, and then for each value that decides, where a request goes on either side.

A region is a host, a path, and the values that had to be known so far. In it the rungs of both sides are asked in their order; the first
whose answer is not known says what to part the region by. Where both lists of rungs that are left are the same, nothing below can
differ, and the walk goes no further: two documents with few differences cost little more than reading them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pinfeather.diff.candidates import Candidates, hosts, paths
from pinfeather.diff.rungs import COOKIES, Attribute, Region, Step
from pinfeather.model.request import matched_path, undotted

MOST = 5_000
"""Regions of one host and path that are looked at; where there are more, that is said."""


class Leaf(NamedTuple):
    """A region in which either side is settled: the rung that takes it, or None."""

    region: Region
    before: Step | None
    after: Step | None


class Walk:
    """Iterate it once. `cut`: whether there was more than could be looked at."""

    def __init__(self, before: Sequence[Step], after: Sequence[Step], entry_points: Sequence[str]) -> None:
        self._before, self._after, self._points = ByHost(before), ByHost(after), entry_points
        self._steps = (*before, *after)
        self._left = MOST
        self.cut = False

    def __iter__(self) -> Iterator[Leaf]:
        """Every region whose two sides may differ."""
        for host in hosts(self._steps):
            before, after = self._before.at(host), self._after.at(host)
            if same(before, after):
                continue
            for path in paths((*before, *after)):
                yield from self._along(host, path, before, after)

    def _along(self, host: str, path: str, before: Sequence[Step], after: Sequence[Step]) -> Iterator[Leaf]:
        seen = matched_path(path)
        before = [step for step in before if step.along(seen)]
        after = [step for step in after if step.along(seen)]
        if same(before, after):
            return
        self._left = MOST
        candidates = Candidates((*before, *after), self._points)
        values = {} if candidates.whole_header else {COOKIES: ()}
        yield from self._in(Region(host, path, values, candidates.cookies), before, after, candidates)

    def _in(self, region: Region, before: Sequence[Step], after: Sequence[Step], candidates: Candidates) -> Iterator[Leaf]:
        if self._left == 0:
            self.cut = True
            return
        self._left -= 1
        before, after = alive(before, region), alive(after, region)
        if same(before, after):
            return
        for steps in (before, after):
            known = steps[0].holds(region) if steps else True
            if isinstance(known, Attribute):
                for values in candidates.of(known):
                    yield from self._in(region.having(known, values), before, after, candidates)
                return
        yield Leaf(region, before[0] if before else None, after[0] if after else None)


def alive(steps: Sequence[Step], region: Region) -> list[Step]:
    """Those that may hold, up to the first that does."""
    found = []
    for step in steps:
        known = step.holds(region)
        if known is not False:
            found.append(step)
        if known is True:
            break
    return found


def same(before: Sequence[Step], after: Sequence[Step]) -> bool:
    return len(before) == len(after) and all(one.signature == other.signature for one, other in zip(before, after, strict=True))


class ByHost:
    """Rungs by the host that they ask for, so that of thousands only a few are looked at."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._order = {id(step): place for place, step in enumerate(steps)}
        self._named: dict[str, list[Step]] = {}
        self._others: list[Step] = []
        for step in steps:
            if step.hosts and not any(name.startswith("*") for name in step.hosts):
                for name in dict.fromkeys(map(undotted, step.hosts)):
                    self._named.setdefault(name, []).append(step)
            else:
                self._others.append(step)

    def at(self, host: str) -> list[Step]:
        found = [*self._named.get(host, ()), *(step for step in self._others if step.at(host))]
        return sorted(found, key=lambda step: self._order[id(step)])
