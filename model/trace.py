"""Why a request is decided as it is: typed steps, each with the place in the document that caused it. Built on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Literal, NamedTuple

from pinfeather.model.canary import Canary
from pinfeather.model.conditions import failing, http_leaf
from pinfeather.model.diagnostics import Path
from pinfeather.model.match import Host, Match, PathIs, either
from pinfeather.model.normal import Rung, rank
from pinfeather.model.request import Asked, Request, State
from pinfeather.model.routes import Route
from pinfeather.model.steps import Below, Kind, Step
from pinfeather.model.table import Table


def trace(table: Table, request: Request, state: State) -> tuple[Step, ...]:
    """Every rung that was tried, in order, up to the one that holds, and from there every way that a draw can take."""
    return tuple(_Tracing(table, request, state).steps())


class Rival(NamedTuple):
    """A route or canary that would have taken the request too, and what comes before it by which criterion."""

    rung: Rung
    path: Path
    criterion: Criterion
    first: int | str
    """What the winner has."""
    second: int | str
    """What this one has."""

    @property
    def why(self) -> str:
        return because(self.criterion, self.first, self.second)


Criterion = Literal["priority", "host", "server name", "path", "path length", "conditions", "canaries", "order"]
_CRITERIA: tuple[Criterion, ...] = ("priority", "host", "path", "path length", "conditions")
_HOSTS = ("any host", "a regex", "a wildcard", "a full name")
_PATHS = ("every path", "a regex", "a prefix", "an exact path")
_BECAUSE: Mapping[Criterion, str] = {
    "priority": "the other one has a higher priority ({first} to {second})",
    "host": "the other one asks for a more exact host ({first}; this one: {second})",
    "server name": "the other one asks for a more exact server name ({first}; this one: {second})",
    "path": "the other one asks for a more exact kind of path ({first}; this one: {second})",
    "path length": "the other one asks for a longer path ({first} characters to {second})",
    "conditions": "the other one has more conditions ({first} to {second})",
    "canaries": "the canaries of a route are asked in their order, before the route itself",
    "order": "the other one stands before it in the document (route {first}; this one: route {second})",
}


def because(criterion: Criterion, first: int | str, second: int | str) -> str:
    """Why what has `first` comes before what has `second`, in words."""
    return _BECAUSE[criterion].format(first=first, second=second)


def rivals(table: Table, request: Request, state: State) -> tuple[Rival, ...]:
    """Whoever comes after the rung that holds and would hold as well, in order. None where no rung holds."""
    tracing = _Tracing(table, request, state)
    winner: Rung | None = None
    found: list[Rival] = []
    for rung in table.order:
        if not tracing.rung(rung).holds:
            continue
        if winner is None:
            winner = rung
        else:
            path: Path = ("routes", rung.route) if rung.canary is None else ("routes", rung.route, "canaries", rung.canary)
            found.append(Rival(rung, path, *_before(table, winner, rung)))
    return tuple(found)


def _before(table: Table, first: Rung, second: Rung) -> tuple[Criterion, int | str, int | str]:
    """By which criterion one rung is asked before another, and what each has."""
    routes = table.document.routes
    one, other = (
        rank(routes[rung.route], None if rung.canary is None else _own(routes[rung.route], rung.canary)) for rung in (first, second)
    )
    for criterion, left, right in zip(_CRITERIA, one, other, strict=True):
        if left != right:
            return criterion, _shown(criterion, -left), _shown(criterion, -right)
    if first.route == second.route:
        return "canaries", 0 if first.canary is None else first.canary + 1, 0 if second.canary is None else second.canary + 1
    return "order", first.route + 1, second.route + 1


def _shown(criterion: Criterion, number: int) -> int | str:
    """A number of a rank as it means something to people."""
    names = {"host": _HOSTS, "path": _PATHS}.get(criterion)
    return number if names is None else names[number]


def _own(route: Route, canary: int) -> Canary | None:
    """The canary, if it has a place of its own in the order; else it stands where its route does."""
    found = route.canaries[canary]
    return None if found.priority is None else found


class _Tracing:
    def __init__(self, table: Table, request: Request, state: State) -> None:
        self.table, self.asked, self.state = table, Asked(request, state), state
        self.bindings = request.bindings

    def steps(self) -> Iterator[Step]:
        for rung in self.table.order:
            step = self.rung(rung)
            yield step
            if step.holds:
                yield from self._from(rung)
                return
        yield Step(Kind.ROUTE, ("routes",), False, "no route holds: 404")

    def rung(self, rung: Rung) -> Step:
        route, path = self.table.document.routes[rung.route], ("routes", rung.route)
        failed = self._route_failing(route, path)
        if rung.canary is None:
            said = f"the route {route.name!r} holds" if failed is None else f"the route {route.name!r} does not hold"
            return Step(Kind.ROUTE, failed or path, failed is None, said)
        canary_path: Path = (*path, "canaries", rung.canary)
        name = f"the canary to {route.canaries[rung.canary].to!r} of the route {route.name!r}"
        split = self.table.splits.get(rung.route)
        if failed is not None:
            return Step(Kind.CANARY, failed, False, f"{name}: its route does not hold")
        if (failed := self._failing(route.canaries[rung.canary].when, (*canary_path, "when"))) is not None:
            return Step(Kind.CANARY, failed, False, f"{name} does not hold")
        if split is not None and route.order == "binding_first" and split.held(self.bindings, self.state) is not None:
            return Step(Kind.CANARY, (*path, "order"), False, f"{name}: the client is bound to a variant, which is asked first")
        return Step(Kind.CANARY, canary_path, True, f"{name} holds")

    def _route_failing(self, route: Route, path: Path) -> Path | None:
        request = self.asked.request
        if route.entry_points and request.entry_point not in route.entry_points:
            return (*path, "entry_points")
        if route.tls is not None and route.tls.terminate is not request.tls:
            return (*path, "tls")
        parts: list[tuple[Match, Path]] = []
        if route.hosts:
            parts.append((either(tuple(Host(host=name) for name in route.hosts)), (*path, "hosts")))
        if route.path is not None:
            parts.append((PathIs(path=route.path), (*path, "path")))
        for match, place in parts:
            if failing(match, place, self.asked, http_leaf) is not None:
                return place
        return self._failing(route.match, (*path, "match")) if route.match is not None else None

    def _failing(self, match: Match, path: Path) -> Path | None:
        return failing(match, path, self.asked, http_leaf)

    def _from(self, rung: Rung) -> Iterator[Step]:
        route, base = self.table.document.routes[rung.route], ("routes", rung.route)
        below = Below(self.table.nodes, self.bindings, self.state)
        if rung.canary is not None:
            return below.service(route.canaries[rung.canary].to, (*base, "canaries", rung.canary, "to"), Fraction(1))
        if route.to is not None:
            return below.service(route.to, (*base, "to"), Fraction(1))
        return below.fork(self.table.splits[rung.route], base, Fraction(1))
