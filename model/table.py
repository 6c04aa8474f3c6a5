"""What is prepared once of a document, so that a decision costs microseconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pinfeather.model.balance import Binding, Elsewhere, Fork, Node, fork, pool
from pinfeather.model.conditions import HttpTest, all_of, compiled, http_leaf
from pinfeather.model.diagnostics import Path, dotted
from pinfeather.model.document import Document
from pinfeather.model.index import Entry, Index
from pinfeather.model.match import Match, PathIs, both
from pinfeather.model.normal import Rung, conditions, lift, precedence
from pinfeather.model.noun import Noun, Template, external
from pinfeather.model.request import Asked
from pinfeather.model.routes import Route
from pinfeather.model.services import LoadBalancer, Service, Split


class UndecidedError(ValueError):
    """A template stands in the document: what it means is not known yet."""

    def __init__(self, template: str, path: Path) -> None:
        super().__init__(f"{dotted(path)}: the template {template!r} has no value yet: write the value in its place")
        self.template = template
        self.path = path


def refuse_templates(value: object, path: Path = ()) -> None:
    """Raises UndecidedError at the first template."""
    if isinstance(value, Template):
        raise UndecidedError(str(value), path)
    if isinstance(value, Noun):
        for name, part in value.__dict__.items():
            if part is not None and part != ():
                refuse_templates(part, (*path, type(value).model_fields[name].alias or name))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            refuse_templates(part, (*path, key))
    elif isinstance(value, tuple | list):
        for index, part in enumerate(value):
            refuse_templates(part, (*path, index))


@dataclass(frozen=True, slots=True)
class Way:
    """Where a rung leads: what a request passes and comes to when its conditions hold."""

    rung: Rung
    route: str
    middlewares: tuple[str, ...]
    to: Node
    binding: Binding | None = None
    """Of a canary that binds."""


@dataclass(frozen=True, slots=True)
class Table:
    """A document, prepared. Never changes."""

    document: Document
    order: tuple[Rung, ...]
    nodes: Mapping[str, Node] = field(repr=False)
    splits: Mapping[int, Fork] = field(repr=False)
    """By route, of those that have a split of their own."""
    _index: Index[Asked, Way] = field(repr=False)

    @classmethod
    def of(cls, document: Document) -> Table:
        """Raises UndecidedError, a ValueError, where a template stands in the document."""
        refuse_templates(document)
        nodes = _nodes(document.services)
        splits = {index: _route_fork(route, nodes) for index, route in enumerate(document.routes) if route.split}
        order = precedence(document)
        return cls(document, order, nodes, splits, Index.of(_entries(document, order, nodes, splits)))

    def first(self, asked: Asked) -> Way | None:
        """The rung of highest precedence that holds."""
        return self._index.first(asked)

    def way(self, rung: Rung) -> Way:
        """Where a rung of `order` leads."""
        return _way(self.document.routes[rung.route], rung, self.nodes, self.splits.get(rung.route))


def node(name: str, nodes: Mapping[str, Node]) -> Node:
    return Elsewhere(name) if external(name) else nodes[name]


def _nodes(services: Mapping[str, Service]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    for name in services:
        _made(name, services, nodes)
    return nodes


def _made(name: str, services: Mapping[str, Service], nodes: dict[str, Node]) -> Node:
    if external(name):
        return Elsewhere(name)
    if name not in nodes:
        service = services[name]
        nodes[name] = (
            fork(
                service.split,
                [_made(entry.to, services, nodes) for entry in service.split],
                cookie=service.sticky.cookie if service.sticky is not None else None,
                weight_zero=service.weight_zero,
                when_down=service.when_down,
                middlewares=service.middlewares,
            )
            if isinstance(service, Split)
            else _pool(name, service)
        )
    return nodes[name]


def _pool(name: str, service: LoadBalancer) -> Node:
    keys = [(server.key, 1 if server.weight is None else int(server.weight)) for server in service.servers]
    return pool(name, keys, service.sticky, service.middlewares)


def _route_fork(route: Route, nodes: Mapping[str, Node]) -> Fork:
    return fork(
        route.split,
        [node(entry.to, nodes) for entry in route.split],
        cookie=route.sticky.cookie if route.sticky is not None else None,
        weight_zero=route.weight_zero,
        when_down=route.when_down,
    )


class _Shared:
    """Conditions made ready, equal ones once: routes ask the same things, and what they share stays in the processor's cache."""

    def __init__(self) -> None:
        self._matches: dict[Match, HttpTest] = {}
        self._edges: dict[tuple[tuple[str, ...], bool | None], tuple[HttpTest, ...]] = {}

    def match(self, match: Match) -> HttpTest:
        if match not in self._matches:
            self._matches[match] = compiled(match, http_leaf)
        return self._matches[match]

    def edge(self, entry_points: tuple[str, ...], terminate: bool | None) -> tuple[HttpTest, ...]:
        """Where a request must have come in."""
        key = (entry_points, terminate)
        if key not in self._edges:
            tests: list[HttpTest] = []
            if entry_points:
                points = frozenset(entry_points)
                tests.append(lambda asked: asked.request.entry_point in points)
            if terminate is not None:
                tests.append(lambda asked: asked.request.tls is terminate)
            self._edges[key] = tuple(tests)
        return self._edges[key]


def _steps(document: Document, order: Sequence[Rung]) -> Iterator[tuple[Rung, ...]]:
    """The order in steps: a route with the canaries that stand directly before it, or a canary that stands elsewhere."""
    step: list[Rung] = []
    for rung in order:
        if step and step[-1].route != rung.route:
            yield tuple(step)
            step = []
        if rung.canary is not None and document.routes[rung.route].canaries[rung.canary].priority is not None:
            if step:
                yield tuple(step)
            yield (rung,)
            step = []
        else:
            step.append(rung)
    if step:
        yield tuple(step)


def _entries(
    document: Document, order: Sequence[Rung], nodes: Mapping[str, Node], splits: Mapping[int, Fork]
) -> Iterator[Entry[Asked, Way]]:
    share = _Shared()
    for position, step in enumerate(_steps(document, order)):
        index = step[0].route
        route, split = document.routes[index], splits.get(index)
        alone = route.canaries[step[0].canary].when if len(step) == 1 and step[0].canary is not None else None
        form = lift(both((*conditions(route), *((alone,) if alone is not None else ()))))
        tests = share.edge(route.entry_points, route.tls.terminate if route.tls is not None else None)
        if form.match is not None:
            tests += (share.match(form.match),)
        own = None if alone is not None else share
        ways = tuple((_canary_test(route, rung.canary, split, own), _way(route, rung, nodes, split)) for rung in step)
        path_test = share.match(PathIs(path=form.path)) if form.path is not None else None
        yield Entry(position, form.hosts, form.path, path_test, tests, ways)


def _canary_test(route: Route, canary: int | None, split: Fork | None, share: _Shared | None) -> HttpTest | None:
    """What a canary asks for beside its route; without `share` its own condition was asked before."""
    if canary is None:
        return None
    tests = [share.match(route.canaries[canary].when)] if share is not None else []
    if split is not None and route.order == "binding_first":
        tests.append(unbound(split))
    return all_of(tests)


def _way(route: Route, rung: Rung, nodes: Mapping[str, Node], split: Fork | None) -> Way:
    if rung.canary is None:
        return Way(rung, route.name, route.middlewares, split if split is not None else node(str(route.to), nodes))
    canary = route.canaries[rung.canary]
    cookie = split.cookie if split is not None and canary.binds else None
    return Way(rung, route.name, route.middlewares, node(canary.to, nodes), Binding(cookie, canary.to) if cookie is not None else None)


def unbound(split: Fork) -> HttpTest:
    """Whether no binding to a variant counts: `binding_first` asks this before any canary."""
    return lambda asked: split.held(asked.request.bindings, asked.state) is None
