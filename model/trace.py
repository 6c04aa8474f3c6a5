"""Why a request is decided as it is: typed steps, each with the place in the document that caused it. Built on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import NamedTuple

from pinfeather.model.balance import Fork, Pool
from pinfeather.model.canary import Canary
from pinfeather.model.conditions import failing, http_leaf
from pinfeather.model.diagnostics import Path
from pinfeather.model.match import Host, Match, PathIs, either
from pinfeather.model.normal import Rung, rank
from pinfeather.model.noun import external
from pinfeather.model.request import Asked, Request, State, Status
from pinfeather.model.routes import Route
from pinfeather.model.table import Table


class Kind(Enum):
    """What was asked in a step."""

    ROUTE = "route"
    CANARY = "canary"
    BINDING = "binding"
    SPLIT = "split"
    SERVER = "server"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was asked, and its answer."""

    kind: Kind
    path: Path
    """What in the document gave the answer: the first condition that failed, the entry that can be drawn, ..."""
    holds: bool
    said: str
    share: Fraction | None = None
    """Of all draws, how many come here; for what a draw decides."""


def trace(table: Table, request: Request, state: State) -> tuple[Step, ...]:
    """Every rung that was tried, in order, up to the one that holds, and from there every way that a draw can take."""
    return tuple(_Tracing(table, request, state).steps())


class Rival(NamedTuple):
    """A route or canary that would have taken the request too, and why it did not."""

    rung: Rung
    path: Path
    why: str


_CRITERIA = ("a higher priority", "a more exact host", "a more exact kind of path", "a longer path", "more conditions")


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
            found.append(Rival(rung, path, _before(table, winner, rung)))
    return tuple(found)


def _before(table: Table, first: Rung, second: Rung) -> str:
    """Why one rung is asked before another."""
    routes = table.document.routes
    ranks = [rank(routes[rung.route], None if rung.canary is None else _own(routes[rung.route], rung.canary)) for rung in (first, second)]
    for criterion, one, other in zip(_CRITERIA, *ranks, strict=True):
        if one != other:
            return f"the other one has {criterion} ({-one} to {-other})" if criterion == _CRITERIA[0] else f"the other one has {criterion}"
    if first.route != second.route:
        return "the other one stands before it in the document"
    return "its canaries are asked before the route itself" if second.canary is None else "the canaries of a route are asked in order"


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
        share = Fraction(1)
        if rung.canary is not None:
            yield from self._service(route.canaries[rung.canary].to, (*base, "canaries", rung.canary, "to"), share)
        elif route.to is not None:
            yield from self._service(route.to, (*base, "to"), share)
        else:
            yield from self._fork(self.table.splits[rung.route], base, share)

    def _service(self, name: str, reference: Path, share: Fraction) -> Iterator[Step]:
        if external(name):
            yield Step(Kind.EXTERNAL, reference, False, f"{name!r} belongs to another provider: nothing is known of it", share)
            return
        node = self.table.nodes[name]
        if isinstance(node, Fork):
            yield from self._fork(node, ("services", name), share)
        elif isinstance(node, Pool):
            yield from self._pool(node, ("services", name), share)

    def _fork(self, fork: Fork, base: Path, share: Fraction) -> Iterator[Step]:
        held = fork.held(self.bindings, self.state)
        bound = self.bindings.get(fork.cookie.name) if fork.cookie is not None else None
        if bound is not None:
            yield self._variant_binding(fork, base, bound, held is not None, share)
        choices = fork.choices(self.bindings, self.state)
        able = {choice.position for choice in choices.ways}
        for variant, name in zip(fork.variants, fork.names, strict=True):
            path: Path = (*base, "split", variant.position)
            if variant.position in able:
                choice = next(choice for choice in choices.ways if choice.position == variant.position)
                part = share * Fraction(choice.weight, choices.total)
                said = f"bound to {name!r}" if held is not None else f"{name!r} is drawn: {choice.weight} of {choices.total}"
                yield Step(Kind.SPLIT, path, True, said, part)
                yield from self._service(name, (*path, "to"), part)
            elif held is None:
                said = "its weight is 0" if variant.weight == 0 else "it has no server for this client: another one is drawn"
                yield Step(Kind.SPLIT, path, False, f"{name!r}: {said}")
        if not choices.ways:
            yield Step(Kind.SPLIT, base, False, "no variant has a server: 503", share)

    def _variant_binding(self, fork: Fork, base: Path, bound: str, counts: bool, share: Fraction) -> Step:
        place: Path = (*base, "sticky", "cookie")
        if counts:
            return Step(Kind.BINDING, place, True, f"the client is bound to {bound!r}", share)
        if bound not in fork.names:
            return Step(Kind.BINDING, place, False, f"the client is bound to {bound!r}, which is no variant of this split")
        position = fork.names.index(bound)
        if fork.variants[position].weight == 0 and not fork.keeps_zero:
            return Step(Kind.BINDING, (*base, "split", position, "weight"), False, f"{bound!r} has weight 0, which drops its clients")
        return Step(Kind.BINDING, (*base, "when_down"), False, f"{bound!r} has no server for this client")

    def _pool(self, pool: Pool, base: Path, share: Fraction) -> Iterator[Step]:
        held = pool.held(self.bindings, self.state)
        key = self.bindings.get(pool.bound_by) if pool.bound_by is not None else None
        if key is not None:
            yield self._server_binding(pool, base, key, held is not None, share)
        choices = pool.choices(self.bindings, self.state)
        taken = {choice.position for choice in choices.ways}
        if held is None:
            weighted = {server.position for server in pool.servers}
            for position, status in enumerate(pool.statuses(self.state)):
                if position not in taken:
                    said = f"the server is {status.value}" if position in weighted else "the server has weight 0"
                    yield Step(Kind.SERVER, (*base, "servers", position), False, said)
        for choice in choices.ways:
            said = f"the server {choice.to}" + ("" if held is not None else f" is drawn: {choice.weight} of {choices.total}")
            yield Step(Kind.SERVER, (*base, "servers", choice.position), True, said, share * Fraction(choice.weight, choices.total))
        if not choices.ways:
            yield Step(Kind.SERVER, (*base, "servers"), False, "no server is up: 503", share)

    def _server_binding(self, pool: Pool, base: Path, key: str, counts: bool, share: Fraction) -> Step:
        if counts:
            return Step(Kind.BINDING, (*base, "sticky"), True, f"the client is bound to the server {key}", share)
        found = next((server for server in pool.servers if server.to == key), None)
        if found is None:
            return Step(Kind.BINDING, (*base, "sticky"), False, f"the client is bound to {key}, which takes no request here")
        status = pool.statuses(self.state)[found.position]
        assert status is Status.DOWN  # else the binding would count
        return Step(Kind.BINDING, (*base, "servers", found.position), False, f"the server {key} of the client is down")
