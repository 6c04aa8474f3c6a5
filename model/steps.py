"""Typed steps of a decision, each with the place in the document that caused it; and those from a rung that holds down to servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from pinfeather.model.balance import Fork, Node, Pool
from pinfeather.model.diagnostics import Path
from pinfeather.model.noun import external
from pinfeather.model.request import State, Status


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


class Below:
    """What is asked below a rung. `services`: where the document has them, `services` or `tcp_services`; `end`: what comes of no server."""

    def __init__(
        self, nodes: Mapping[str, Node], bindings: Mapping[str, str], state: State, services: str = "services", end: str = "503"
    ) -> None:
        self._nodes, self._bindings, self._state, self._services, self._end = nodes, bindings, state, services, end

    def service(self, name: str, reference: Path, share: Fraction) -> Iterator[Step]:
        if external(name):
            yield Step(Kind.EXTERNAL, reference, False, f"{name!r} belongs to another provider: nothing is known of it", share)
            return
        node = self._nodes[name]
        if isinstance(node, Fork):
            yield from self.fork(node, (self._services, name), share)
        elif isinstance(node, Pool):
            yield from self._pool(node, (self._services, name), share)

    def fork(self, fork: Fork, base: Path, share: Fraction) -> Iterator[Step]:
        held = fork.held(self._bindings, self._state)
        bound = self._bindings.get(fork.cookie.name) if fork.cookie is not None else None
        if bound is not None:
            yield self._variant_binding(fork, base, bound, held is not None, share)
        choices = fork.choices(self._bindings, self._state)
        able = {choice.position for choice in choices.ways}
        for variant, name in zip(fork.variants, fork.names, strict=True):
            path: Path = (*base, "split", variant.position)
            if variant.position in able:
                choice = next(choice for choice in choices.ways if choice.position == variant.position)
                part = share * Fraction(choice.weight, choices.total)
                said = f"bound to {name!r}" if held is not None else f"{name!r} is drawn: {choice.weight} of {choices.total}"
                yield Step(Kind.SPLIT, path, True, said, part)
                yield from self.service(name, (*path, "to"), part)
            elif held is None:
                said = "its weight is 0" if variant.weight == 0 else "it has no server for this client: another one is drawn"
                yield Step(Kind.SPLIT, path, False, f"{name!r}: {said}")
        if not choices.ways:
            yield Step(Kind.SPLIT, base, False, f"no variant has a server: {self._end}", share)

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
        held = pool.held(self._bindings, self._state)
        key = self._bindings.get(pool.bound_by) if pool.bound_by is not None else None
        if key is not None:
            yield self._server_binding(pool, base, key, held is not None, share)
        choices = pool.choices(self._bindings, self._state)
        taken = {choice.position for choice in choices.ways}
        if held is None:
            weighted = {server.position for server in pool.servers}
            for position, status in enumerate(pool.statuses(self._state)):
                if position not in taken:
                    said = f"the server is {status.value}" if position in weighted else "the server has weight 0"
                    yield Step(Kind.SERVER, (*base, "servers", position), False, said)
        for choice in choices.ways:
            said = f"the server {choice.to}" + ("" if held is not None else f" is drawn: {choice.weight} of {choices.total}")
            yield Step(Kind.SERVER, (*base, "servers", choice.position), True, said, share * Fraction(choice.weight, choices.total))
        if not choices.ways:
            yield Step(Kind.SERVER, (*base, "servers"), False, f"no server is up: {self._end}", share)

    def _server_binding(self, pool: Pool, base: Path, key: str, counts: bool, share: Fraction) -> Step:
        if counts:
            return Step(Kind.BINDING, (*base, "sticky"), True, f"the client is bound to the server {key}", share)
        found = next((server for server in pool.servers if server.to == key), None)
        if found is None:
            return Step(Kind.BINDING, (*base, "sticky"), False, f"the client is bound to {key}, which takes no request here")
        status = pool.statuses(self._state)[found.position]
        assert status is Status.DOWN  # else the binding would count
        return Step(Kind.BINDING, (*base, "servers", found.position), False, f"the server {key} of the client is down")
