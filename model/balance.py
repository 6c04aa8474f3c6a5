"""Services made ready for a draw: what a client is bound to, and else the choices with their weights.

Every level has its choices worked out by `choices`, whoever asks: `decide` takes one by its draw, `outcomes` takes all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Generic, NamedTuple, TypeVar

from pinfeather.model.canary import SplitEntry, WeightZero, WhenDown
from pinfeather.model.request import State, Status, affinity
from pinfeather.model.sticky import Cookie, Sticky

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Binding:
    """A cookie to set, and what its value is to stand for: a variant (service) or the key of a server."""

    cookie: Cookie
    value: str


class Choice(NamedTuple, Generic[T]):
    """One way on, and the binding that taking it gives."""

    weight: int  # above 0
    position: int  # in the document
    to: T
    binding: Binding | None


class Choices(Generic[T]):
    """Ways on, by weight. Empty: nobody is there."""

    __slots__ = ("_ends", "total", "ways")

    def __init__(self, ways: Sequence[Choice[T]]) -> None:
        self.ways = tuple(ways)
        self._ends = tuple(accumulate([way.weight for way in ways]))
        self.total = self._ends[-1] if self._ends else 0

    def take(self, numerator: int, denominator: int) -> tuple[Choice[T], int, int]:
        """The way that the draw numerator/denominator falls on, and the draw that is left for the next level. Exact.

        The way i covers [w_0 + ... + w_(i-1), w_0 + ... + w_i) of the total; the draw's place within it is the next draw.
        """
        ways = self.ways
        if len(ways) == 1:
            return ways[0], numerator, denominator
        ends = self._ends
        slot, rest = divmod(numerator * self.total, denominator)
        index = bisect_right(ends, slot)
        way = ways[index]
        weight = way.weight
        return way, (slot - ends[index] + weight) * denominator + rest, denominator * weight


@dataclass(slots=True)
class Elsewhere:
    """A service of another provider: nothing is known of it here."""

    name: str

    def able(self, _bindings: Mapping[str, str], _state: State) -> bool:
        return True


@dataclass(slots=True)
class Pool:
    """A load balancer: servers by weight. Every strategy is taken as one by weight."""

    name: str
    middlewares: tuple[str, ...]
    bound_by: str | None
    """Under which name `bindings` holds a client's server."""
    servers: tuple[Choice[str], ...]
    """With a weight above 0; `to` is the server's key."""
    count: int
    """Of all servers of the document."""
    _all: Choices[str] = field(init=False)
    _by_key: dict[str, tuple[Choices[str], ...]] = field(init=False)
    _whole: tuple[Status, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._all = Choices(self.servers)
        self._by_key = {}
        for server in self.servers:
            self._by_key[server.to] = (*self._by_key.get(server.to, ()), Choices((server._replace(binding=None),)))
        self._whole = (Status.UP,) * self.count

    def statuses(self, state: State) -> tuple[Status, ...]:
        """Raises ValueError where the state does not have one status a server."""
        statuses = state.servers.get(self.name)
        if statuses is None:
            return self._whole
        if len(statuses) != self.count:
            raise ValueError(f"the state of {self.name!r} has {len(statuses)} servers, the document {self.count}")
        return statuses

    def held(self, bindings: Mapping[str, str], state: State) -> Choices[str] | None:
        """The server that the client is bound to, if it is up or draining."""
        if self.bound_by is None or (key := bindings.get(self.bound_by)) is None or (found := self._by_key.get(key)) is None:
            return None
        statuses = self.statuses(state)
        for server in found:
            if statuses[server.ways[0].position] is not Status.DOWN:
                return server
        return None

    def choices(self, bindings: Mapping[str, str], state: State) -> Choices[str]:
        """The server that the client is bound to, alone and binding nobody anew; else those that are up."""
        if bindings and (held := self.held(bindings, state)) is not None:
            return held
        statuses = self.statuses(state)
        if statuses == self._whole:
            return self._all
        return Choices([server for server in self.servers if statuses[server.position] is Status.UP])

    def able(self, bindings: Mapping[str, str], state: State) -> bool:
        return bool(self.choices(bindings, state).ways)


@dataclass(slots=True)
class Fork:
    """A split: variants by weight."""

    middlewares: tuple[str, ...]
    cookie: Cookie | None
    keeps_zero: bool
    redraws: bool
    variants: tuple[Choice[Node], ...]
    """All of them, those of weight 0 too."""
    names: tuple[str, ...]
    _all: Choices[Node] = field(init=False)
    _by_name: dict[str, Choices[Node]] = field(init=False)

    def __post_init__(self) -> None:
        self._all = Choices([variant for variant in self.variants if variant.weight])
        bound = [variant._replace(weight=variant.weight or 1, binding=None) for variant in self.variants]
        self._by_name = {
            name: Choices((way,))
            for name, variant, way in zip(self.names, self.variants, bound, strict=True)
            if variant.weight or self.keeps_zero
        }

    def held(self, bindings: Mapping[str, str], state: State) -> Choices[Node] | None:
        """The variant that the client is bound to, if that binding counts: weight 0 may drop it, and no server too."""
        if self.cookie is None or (name := bindings.get(self.cookie.name)) is None:
            return None
        bound = self._by_name.get(name)
        if bound is not None and self.redraws and not bound.ways[0].to.able(bindings, state):
            return None
        return bound

    def choices(self, bindings: Mapping[str, str], state: State) -> Choices[Node]:
        """The variant that the client is bound to, alone and binding nobody anew; else those that can be drawn."""
        if bindings and (held := self.held(bindings, state)) is not None:
            return held
        if not self.redraws:
            return self._all
        able = [way for way in self._all.ways if way.to.able(bindings, state)]
        return self._all if len(able) == len(self._all.ways) else Choices(able)

    def able(self, bindings: Mapping[str, str], state: State) -> bool:
        """Whether any variant that this client could come to has a server for it."""
        return any(way.to.able(bindings, state) for way in self.choices(bindings, state).ways)


Node = Fork | Pool | Elsewhere


def fork(
    entries: Sequence[SplitEntry],
    nodes: Sequence[Node],
    *,
    cookie: Cookie | None = None,
    weight_zero: WeightZero = "drop",
    when_down: WhenDown = "fail",
    middlewares: tuple[str, ...] = (),
) -> Fork:
    """The split of a service or a route, `nodes` being what its entries name."""
    return Fork(
        middlewares,
        cookie,
        weight_zero == "keep",
        when_down == "redraw",
        tuple(
            Choice(int(entry.weight), index, node, Binding(cookie, entry.to) if cookie is not None and entry.binds else None)
            for index, (entry, node) in enumerate(zip(entries, nodes, strict=True))
        ),
        tuple(entry.to for entry in entries),
    )


def pool(name: str, keys: Sequence[tuple[str, int]], sticky: Sticky | None, middlewares: tuple[str, ...] = ()) -> Pool:
    """A load balancer over servers by key and weight."""
    cookie = sticky.cookie if sticky is not None else None
    bound_by = cookie.name if cookie is not None else affinity(name) if sticky is not None else None
    return Pool(
        name,
        middlewares,
        bound_by,
        tuple(
            Choice(weight, index, key, Binding(cookie, key) if cookie is not None else None)
            for index, (key, weight) in enumerate(keys)
            if weight > 0
        ),
        len(keys),
    )
