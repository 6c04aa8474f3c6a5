"""What a document means: the decision core.

It may not know: a clock, randomness (the draw is given), memory (bindings are given), sockets, health (the state is
given), and no proxy by name. One request, one state, one draw: one decision. The ladder:

1. the rung of highest precedence that holds: routes and canaries in the order of `normal.precedence`; under
   `binding_first` a client that is bound to a variant of the route's split meets none of the route's canaries;
2. a canary leads to its own service;
3. else the variant that the client is bound to, unless its weight is 0 and `weight_zero` drops it;
4. else the split, by weight, which binds where the entry does. Splits nest, each with a cookie of its own. A variant
   without a server for this client means 503, or under `when_down: redraw` a draw among the others;
5. in the service: the server that the client is bound to, if it is up or draining; else a draw among those that are up,
   which binds. None: 503, and no cookie at all.

Balancing strategies other than by weight are taken as by weight, and each draw stands for itself: which server comes in
turn is the memory of one proxy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

from pinfeather.model.balance import Binding, Choice, Elsewhere, Node, Pool
from pinfeather.model.request import Asked, Request, State, Status, matched_path, normal_path, normal_query
from pinfeather.model.steps import Kind, Step
from pinfeather.model.table import Table, UndecidedError, Way
from pinfeather.model.trace import trace

__all__ = (
    "DRAWS",
    "NOWHERE",
    "NO_ROUTE",
    "Binding",
    "Decision",
    "Effect",
    "Kind",
    "Outcome",
    "Outcomes",
    "Request",
    "State",
    "Status",
    "Step",
    "Table",
    "UndecidedError",
    "decide",
    "matched_path",
    "normal_path",
    "normal_query",
    "outcomes",
    "trace",
)

DRAWS = 2**64
"""A draw is a whole number from 0 up to, not including, this."""

Reason = Literal["forward", "no route", "no server", "external"]


class Effect(NamedTuple):
    """What a decision does, whichever rule led to it: what laws compare. The service by name, the server by key."""

    status: int
    middlewares: tuple[str, ...]
    service: str | None
    server: str | None
    set_cookies: tuple[Binding, ...]


class Decision(NamedTuple):
    """What is to be done with a request."""

    status: int
    """200: forward; 404: no route; 503: no server, or a service that another provider holds."""
    route: str | None = None
    canary: int | None = None
    """Which of the route's canaries, from 0."""
    middlewares: tuple[str, ...] = ()
    """To be passed in this order, also before a 503: the route's, then those of each service on the way. Chains stand as chains."""
    service: str | None = None
    """The load balancer at the end, or the external reference; None for a split without any server."""
    server: int | None = None
    server_key: str | None = None
    set_cookies: tuple[Binding, ...] = ()
    """The outer level first."""
    reason: Reason = "forward"

    @property
    def effect(self) -> Effect:
        return Effect(self.status, self.middlewares, self.service, self.server_key, self.set_cookies)


NO_ROUTE = Decision(404, reason="no route")


def decide(table: Table, request: Request, state: State, draw: int) -> Decision:
    """The decision for one draw. Raises ValueError for a draw outside of [0, 2**64)."""
    if not 0 <= draw < DRAWS:
        raise ValueError(f"the draw {draw} is not in [0, 2**64)")
    return decided(table, Asked(request, state), draw)


def decided(table: Table, asked: Asked, draw: int) -> Decision:
    """The same of a request that somebody holds ready; `draw` is not looked at."""
    way = table.first(asked)
    return NO_ROUTE if way is None else follow(way, asked.request.bindings, asked.state, draw)


def follow(way: Way, bindings: Mapping[str, str], state: State, draw: int) -> Decision:
    """From a rung that holds to a server."""
    node, middlewares = way.to, way.middlewares
    cookies = _first_cookies(way, bindings)
    numerator, denominator = draw, DRAWS
    while True:
        if isinstance(node, Pool):
            if node.middlewares:
                middlewares += node.middlewares
            servers = node.choices(bindings, state)
            if not servers.ways:
                return _refused(way, middlewares, node.name)
            return _forwarded(way, middlewares, node, servers.take(numerator, denominator)[0], cookies)
        if isinstance(node, Elsewhere):
            return _external(way, middlewares, node)
        if node.middlewares:
            middlewares += node.middlewares
        variants = node.choices(bindings, state)
        if not variants.ways:
            return _refused(way, middlewares, None)
        variant, numerator, denominator = variants.take(numerator, denominator)
        if variant.binding is not None:
            cookies += (variant.binding,)
        node = variant.to


def _first_cookies(way: Way, bindings: Mapping[str, str]) -> tuple[Binding, ...]:
    binding = way.binding
    return () if binding is None or bindings.get(binding.cookie.name) == binding.value else (binding,)


def _refused(way: Way, middlewares: tuple[str, ...], service: str | None) -> Decision:
    return Decision(503, way.route, way.rung.canary, middlewares, service, reason="no server")


def _external(way: Way, middlewares: tuple[str, ...], node: Elsewhere) -> Decision:
    return Decision(503, way.route, way.rung.canary, middlewares, node.name, reason="external")


def _forwarded(way: Way, middlewares: tuple[str, ...], node: Pool, server: Choice[str], cookies: tuple[Binding, ...]) -> Decision:
    if server.binding is not None:
        cookies += (server.binding,)
    return Decision(200, way.route, way.rung.canary, middlewares, node.name, server.position, server.to, cookies)


# All outcomes -----------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """Every draw in [low, high) leads to this decision."""

    low: Fraction
    high: Fraction
    decision: Decision


@dataclass(frozen=True, slots=True)
class Outcomes:
    """[0, 1) parted, in order, nothing merged."""

    parts: tuple[Outcome, ...]

    @property
    def shares(self) -> dict[Effect, Fraction]:
        """How much of all draws each effect has; the sum is 1."""
        shares: dict[Effect, Fraction] = {}
        for low, high, decision in self.parts:
            effect = decision.effect
            shares[effect] = shares.get(effect, Fraction(0)) + high - low
        return shares

    def at(self, draw: int) -> Decision:
        """What `decide` says to that draw."""
        place = Fraction(draw, DRAWS)
        return next(part.decision for part in self.parts if part.low <= place < part.high)


NOWHERE = Outcomes((Outcome(Fraction(0), Fraction(1), NO_ROUTE),))


def outcomes(table: Table, request: Request, state: State) -> Outcomes:
    """What each draw leads to, as exact fractions."""
    way = table.first(Asked(request, state))
    return NOWHERE if way is None else spread(way, request.bindings, state)


def spread(way: Way, bindings: Mapping[str, str], state: State) -> Outcomes:
    """From a rung that holds to every server."""
    cookies = _first_cookies(way, bindings)

    def below(node: Node, middlewares: tuple[str, ...], cookies: tuple[Binding, ...], low: Fraction, width: Fraction) -> Iterator[Outcome]:
        if isinstance(node, Elsewhere):
            yield Outcome(low, low + width, _external(way, middlewares, node))
            return
        middlewares += node.middlewares
        choices = node.choices(bindings, state)
        if not choices.ways:
            yield Outcome(low, low + width, _refused(way, middlewares, node.name if isinstance(node, Pool) else None))
        for choice in choices.ways:
            part = width * Fraction(choice.weight, choices.total)
            if isinstance(node, Pool):
                assert isinstance(choice.to, str)
                yield Outcome(low, low + part, _forwarded(way, middlewares, node, choice, cookies))
            else:
                assert not isinstance(choice.to, str)
                yield from below(choice.to, middlewares, (*cookies, choice.binding) if choice.binding is not None else cookies, low, part)
            low += part

    return Outcomes(tuple(below(way.to, way.middlewares, cookies, Fraction(0), Fraction(1))))
