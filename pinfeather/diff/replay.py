"""Real traffic instead of weights: each request of an access log is asked of both sides, and counted by what changes for it.

What a log does not keep stays open: both sides are asked for every value that could decide. Where all come to the same, the request is
counted there; where they do not, it is counted as undecided, with what would have to be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from pinfeather.diff.candidates import Candidates
from pinfeather.diff.changes import Change, Kind, compare
from pinfeather.diff.logs import Line, Logged
from pinfeather.diff.rungs import CLIENT, COOKIES, ENTRY_POINT, METHOD, TLS, Attribute, Region, Step, consulted, steps
from pinfeather.diff.sides import Side
from pinfeather.diff.walk import ByHost, alive, same
from pinfeather.model.document import canary_name
from pinfeather.model.request import bare_host, cookie_pairs, matched_path, query_pairs, undotted

CLIENTS = 100_000
"""So many addresses are told apart for each class; where there are more, `at least` is said."""
REMEMBERED = 50_000
"""Different requests whose answer is kept."""
_WAYS = 2_000


@dataclass(slots=True)
class Count:
    """Requests to which the same happens."""

    change: Change
    region: Region
    before: Step | None
    after: Step | None
    line: int
    """The first of them."""
    requests: int = 0
    clients: set[str] = field(default_factory=set)
    more_clients: bool = False

    @property
    def moved(self) -> Fraction:
        """How many of them end at another server, were each of a new client."""
        return self.requests * self.change.moved


@dataclass(slots=True)
class Tally:
    """A log, counted."""

    total: int = 0
    same: int = 0
    counts: dict[object, Count] = field(default_factory=dict)
    undecided: dict[str, int] = field(default_factory=dict)
    """What is not in the log, and how many requests depend on it."""
    unusable: int = 0
    first_problem: str = ""


class Verdict(NamedTuple):
    """What comes of one request. `change` None and `open` empty: the same on both sides."""

    change: Change | None = None
    region: Region | None = None
    before: Step | None = None
    after: Step | None = None
    open: str = ""


SAME = Verdict()


class There(NamedTuple):
    """What both sides have for one host."""

    name: str
    before: list[Step]
    after: list[Step]
    same: bool
    asked: tuple[Attribute, ...]


class Replay:
    """`keeps`: headers that the log would have, had they been there."""

    def __init__(self, before: Side, after: Side, keeps: Iterable[str] = ()) -> None:
        self._sides = before, after
        self._steps = ByHost(steps(before)), ByHost(steps(after))
        self._points = tuple(dict.fromkeys((*before.document.entry_points, *after.document.entry_points)))
        self._keeps = frozenset(name.lower() for name in keeps)
        self._seen: dict[object, Verdict] = {}
        self._by_host: dict[str, There] = {}
        self._hosts = dict(_hosts(before))

    def count(self, lines: Iterable[Line]) -> Tally:
        """Every line once, in a memory that does not grow with them."""
        tally = Tally()
        for line in lines:
            if line.request is None:
                tally.unusable += 1
                tally.first_problem = tally.first_problem or f"{line.number}: {line.problem}"
                continue
            tally.total += 1
            verdict = self.verdict(line.request)
            if verdict.open:
                tally.undecided[verdict.open] = tally.undecided.get(verdict.open, 0) + 1
            elif verdict.change is None:
                tally.same += 1
            else:
                _add(tally, verdict, line)
        return tally

    def verdict(self, logged: Logged) -> Verdict:
        host = logged.host if logged.host is not None else self._hosts.get((logged.router or "").partition("@")[0])
        if host is None:
            return Verdict(open="the host")
        there = self._there(host)
        pinned = self._pinned(logged)
        if there.same and not pinned:
            return SAME
        seen = matched_path(logged.path)
        before, after = ([step for step in row if step.along(seen)] for row in (there.before, there.after))
        if same(before, after) and not pinned:
            return SAME
        values = self._known(logged, there.asked)
        key = there.name, tuple(map(id, before)), tuple(map(id, after)), tuple(values.items()), pinned
        if key not in self._seen:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            self._seen[key] = self._asked(Region(there.name, logged.path, values), before, after, logged)
        return self._seen[key]

    def _there(self, host: str) -> There:
        """The rungs that may hold for a host, and what they ask for."""
        if host not in self._by_host:
            if len(self._by_host) >= REMEMBERED:
                self._by_host.clear()
            name = undotted(bare_host(host))
            before, after = (side.at(name) for side in self._steps)
            asked = dict.fromkeys(attribute for step in (*before, *after) for attribute in _asked_of(step))
            self._by_host[host] = There(name, before, after, same(before, after), tuple(asked))
        return self._by_host[host]

    def _asked(self, region: Region, before: Sequence[Step], after: Sequence[Step], logged: Logged) -> Verdict:
        candidates = Candidates((*before, *after), self._points)
        if not candidates.whole_header and COOKIES not in region.values and candidates.cookies:
            region = region.having(COOKIES, ())
        region = Region(region.host, region.path, region.values, candidates.cookies)
        found = dict(self._in(region, before, after, candidates, logged, [_WAYS]))
        changes = [verdict.change for verdict in found.values()]
        kinds = {change.kind if change is not None else None for change in changes}
        ends = {None if change is None else (change.kind, change.before, change.after) for change in changes}
        if len(ends) == 1 or kinds in ({Kind.REFUSED}, {Kind.ADMITTED}):  # whichever it was, it was refused, or let in, or went there
            return min(found.values(), key=_made_up)
        unknown = dict.fromkeys(verdict.open for verdict in found.values() if verdict.open)
        return Verdict(open=next(iter(unknown), "") or self._missing(found.values(), region))

    def _known(self, logged: Logged, asked: Sequence[Attribute]) -> dict[Attribute, tuple[str, ...]]:
        """The attributes that the log says; those that it does not are left to be found out."""
        values: dict[Attribute, tuple[str, ...]] = {METHOD: (logged.method,)}
        if logged.entry_point is not None:
            values[ENTRY_POINT] = (logged.entry_point,)
        if logged.tls is not None:
            values[TLS] = ("yes",) if logged.tls else ()
        whole = COOKIES in asked
        every = logged.every_header or "cookie" in self._keeps or any(name == "cookie" for name, _ in logged.headers)
        cookies = cookie_pairs(logged.headers) if whole and every else ()
        for attribute in asked:
            if attribute == CLIENT:
                values[CLIENT] = (logged.client or "127.0.0.1",)
            elif attribute.kind == "query":
                values[attribute] = tuple(value for name, value in query_pairs(logged.query) if name == attribute.name)
            elif attribute.kind == "header":
                row = tuple(value for name, value in logged.headers if name == attribute.name)
                if row or logged.every_header or attribute.name in self._keeps:
                    values[attribute] = row
            elif attribute.kind == "cookie" and every:
                values[attribute] = tuple(value for name, value in cookies if name == attribute.name)
        if whole and every:
            named = {attribute.name for attribute in asked if attribute.kind == "cookie"}
            rest = [f"{name}={value}" for name, value in cookies if name not in named]
            values[COOKIES] = ("; ".join(rest),) if rest and WHOLE in asked else ()
        return values

    def _in(
        self, region: Region, before: Sequence[Step], after: Sequence[Step], candidates: Candidates, logged: Logged, left: list[int]
    ) -> Iterator[tuple[object, Verdict]]:
        """What may come of it, by what is not known."""
        if left[0] == 0:
            yield "more", Verdict(open="too many things at once")
            return
        left[0] -= 1
        before, after = alive(before, region), alive(after, region)
        if same(before, after) and not self._pinned(logged):
            yield None, SAME
            return
        for row in (before, after):
            known = row[0].holds(region) if row else True
            if isinstance(known, Attribute):
                for values in candidates.of(known):
                    yield from self._in(region.having(known, values), before, after, candidates, logged, left)
                return
        verdict = self._settled(region, before[0] if before else None, after[0] if after else None, logged)
        yield (verdict.change and _class(verdict), verdict)

    def _settled(self, region: Region, one: Step | None, other: Step | None, logged: Logged) -> Verdict:
        before, after = self._sides
        bound = (
            {**before.bound(region.bound), **before.carried(logged.headers)},
            {**after.bound(region.bound), **after.carried(logged.headers)},
        )
        change = compare(before, after, region.request, bound)
        return SAME if change is None else Verdict(change, region, one, other)

    def _pinned(self, logged: Logged) -> tuple[object, ...]:
        """What the request's sticky cookies say on either side, where their values are known."""
        return tuple(tuple(bound.items()) for side in self._sides if (bound := side.carried(logged.headers)))

    def _missing(self, verdicts: Iterable[Verdict], region: Region) -> str:
        """What differs between the ways that it may have gone, and is not in the log."""
        regions = [each.region for each in verdicts if each.region is not None]
        names = dict.fromkeys(_words(key) for each in regions for key in each.values if key not in region.values)
        return " and ".join(name for name in names) or "what the log does not keep"


def _made_up(verdict: Verdict) -> int:
    """How much of its request the log does not say: the plainest is shown."""
    return 0 if verdict.region is None else sum(map(len, verdict.region.values.values()))


def _words(attribute: Attribute) -> str:
    if attribute == COOKIES:
        return "the cookies"
    return f"the {attribute.kind}{f' {attribute.name}' if attribute.name else ''}"


WHOLE = Attribute("the Cookie header")
"""Some condition looks at all cookies at once."""


def _asked_of(step: Step) -> Iterator[Attribute]:
    for leaf in step.leaves:
        found = consulted(leaf)
        yield from (COOKIES, WHOLE) if found is None else found


def _class(verdict: Verdict) -> object:
    change = verdict.change
    assert change is not None
    rungs = tuple(step.rung if step is not None else None for step in (verdict.before, verdict.after))
    return change.kind, rungs, change.before, change.after


def _add(tally: Tally, verdict: Verdict, line: Line) -> None:
    assert verdict.change is not None
    assert verdict.region is not None
    assert line.request is not None
    key = _class(verdict)
    count = tally.counts.get(key)
    if count is None:
        count = tally.counts[key] = Count(verdict.change, verdict.region, verdict.before, verdict.after, line.number)
    count.requests += 1
    if len(count.clients) < CLIENTS:
        count.clients.add(line.request.client)
    elif line.request.client not in count.clients:
        count.more_clients = True


def _hosts(side: Side) -> Iterator[tuple[str, str]]:
    """The router's name in CLF -> the one host that it is for."""
    for route in side.document.routes:
        if len(route.hosts) == 1 and not route.hosts[0].startswith("*"):
            yield route.name, route.hosts[0]
            yield from ((canary_name(route, number), route.hosts[0]) for number in range(len(route.canaries)))
