"""Why a request is decided as it is: typed steps, each with the place in the document that caused it. Built on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from pinfeather.model.balance import Fork, Pool
from pinfeather.model.conditions import failing, http_leaf
from pinfeather.model.diagnostics import Path
from pinfeather.model.match import Match
from pinfeather.model.noun import external
from pinfeather.model.normal import Rung
from pinfeather.model.request import Asked, Request, State, Status
from pinfeather.model.routes import Route
from pinfeather.model.services import Split
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


class _Tracing:
    def __init__(self, table: Table, request: Request, state: State) -> None:
        self.table, self.asked, self.state = table, Asked(request, state), state
        self.bindings = request.bindings

    def steps(self) -> Iterator[Step]:
        for rung in self.table.order:
            step = self._rung(rung)
            yield step
            if step.holds:
                yield from self._from(rung)
                return
        yield Step(Kind.ROUTE, ("routes",), False, "no route holds: 404")

    def _rung(self, rung: Rung) -> Step:
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
        if route.hosts and self._failing(Match_of_hosts(route), ()) is not None:
            return (*path, "hosts")
        return None

    def _failing(self, match: Match, path: Path) -> Path | None:
        return failing(match, path, self.asked, http_leaf)
