"""The whole difference of two documents: classes of requests, the worst first, TCP, sticky cookies, and what was not looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from pinfeather.diff.candidates import doubtful
from pinfeather.diff.changes import Change, Found, found
from pinfeather.diff.pins import Fate, Pool, fates, lost_pools
from pinfeather.diff.rungs import Step, steps
from pinfeather.diff.sides import Landing, Side
from pinfeather.diff.tcp import TcpFound, tcp_found
from pinfeather.diff.walk import Walk
from pinfeather.model.diagnostics import Path, Span, span_at


@dataclass(frozen=True, slots=True)
class Class:
    """Requests that the same rungs take, and to which the same happens: one of them, and how many other kinds there are."""

    found: Found
    pinned: tuple[tuple[Fate, Fraction], ...]
    """What becomes of those who were given cookies for such a request."""
    alike: int
    """Hosts, paths and values for which the same is true, beside the one that is shown."""

    @property
    def change(self) -> Change:
        return self.found.change


@dataclass(frozen=True, slots=True)
class Difference:
    before: Side
    after: Side
    classes: tuple[Class, ...]
    tcp: tuple[TcpFound, ...]
    pools: tuple[Pool, ...]
    """Sticky cookies whose clients are drawn anew."""
    unproved: tuple[str, ...]
    """Regexes that are told apart by examples only."""
    cut: bool
    """Whether there was more than was looked at."""

    @property
    def unread(self) -> tuple[str, ...]:
        """What either side says and nobody could read."""
        return (*self.before.unread, *self.after.unread)

    @property
    def equal(self) -> bool:
        return not self.classes and not self.tcp and not self.pools and not self.cut


def difference(before: Side, after: Side) -> Difference:
    """Everything that differs. What the walk comes to is asked of both tables, and only what they say so is kept."""
    one, other = steps(before), steps(after)
    points = tuple(dict.fromkeys((*before.document.entry_points, *after.document.entry_points)))
    walk = Walk(one, other, points)
    kept: dict[object, tuple[Found, int]] = {}
    for leaf in walk:
        if (each := found(before, after, leaf.region, leaf.before, leaf.after)) is None:
            continue
        key = (each.change.kind, _rung(leaf.before), _rung(leaf.after), each.change.before, each.change.after)
        known, alike = kept.get(key, (each, -1))
        kept[key] = (min(known, each, key=_plainness), alike + 1)
    classes = [Class(each, _pinned(before, after, each), alike) for each, alike in kept.values()]
    classes.sort(key=lambda one: (one.change.kind, -one.change.moved, _plainness(one.found)))
    pools = tuple(lost_pools(before, after))
    return Difference(
        before, after, tuple(classes), tuple(tcp_found(before.document, after.document)), pools, doubtful(one, other), walk.cut
    )


def _pinned(before: Side, after: Side, each: Found) -> tuple[tuple[Fate, Fraction], ...]:
    region = each.region
    return fates(before, after, region.request, before.bound(region.bound))


def _rung(step: Step | None) -> object:
    return None if step is None else step.rung


def _plainness(each: Found) -> tuple[int, int, str]:
    said = [row for row in each.region.values.values() if row]
    return sum(len(row) for row in said), len(each.region.path), each.region.host


def origin(side: Side, step: Step | None) -> Span | None:
    """Where the rung that takes a request was read from."""
    if step is None:
        return None
    path: Path = ("routes", step.rung.route, *(("canaries", step.rung.canary) if step.rung.canary is not None else ()))
    return span_at(side.spans, path)


def moves(change: Change) -> Iterator[tuple[str, str, Fraction]]:
    """From whom, to whom, and how much of all new clients; services where those differ, else servers."""
    lost, gained = _losses(change.before, change.after, _service), _losses(change.after, change.before, _service)
    if not lost or lost.keys() & gained.keys():
        lost, gained = _losses(change.before, change.after, _server), _losses(change.after, change.before, _server)
    yield " and ".join(lost), " and ".join(gained), sum(lost.values(), Fraction(0))


def _service(one: Landing) -> str:
    return one.service if one.status == 200 else str(one.status)


def _server(one: Landing) -> str:
    return one.server or str(one.status)


Rows = tuple[tuple[Landing, Fraction], ...]


def _losses(these: Rows, those: Rows, name: Callable[[Landing], str]) -> dict[str, Fraction]:
    """Who has less, by the servers behind a name, and how much less."""
    mine: dict[str, Fraction] = {}
    servers: dict[str, set[str]] = {}
    for one, share in these:
        mine[name(one)] = mine.get(name(one), Fraction(0)) + share
        servers.setdefault(name(one), set()).add(_server(one))
    found = {}
    for label, share in mine.items():
        theirs = sum((part for one, part in those if _server(one) in servers[label]), Fraction(0))
        if theirs < share:
            found[label] = share - theirs
    return found
