"""What is prepared once of a document, so that a decision costs microseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pinfeather.model.balance import Binding, Elsewhere, Fork, Node, fork, pool
from pinfeather.model.conditions import HttpTest, all_of, compiled, http_leaf, path_is
from pinfeather.model.diagnostics import Path, dotted
from pinfeather.model.document import Document
from pinfeather.model.index import Entry, Index
from pinfeather.model.match import both
from pinfeather.model.normal import Rung, conditions, lift, precedence
from pinfeather.model.noun import Noun, Template, external
from pinfeather.model.request import Asked
from pinfeather.model.routes import Route
from pinfeather.model.services import LoadBalancer, Service, Split
from pinfeather.model.sticky import Sticky


class UndecidedError(ValueError):
    """A template stands in the document: what it means is not known yet."""

    def __init__(self, template: str, path: Path) -> None:
        super().__init__(f"{dotted(path)}: the template {template!r} has no value yet: give it one with --bind '{template}=value'")
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


def cookie_of(sticky: Sticky | None) -> str | None:
    return None if sticky is None or sticky.cookie is None else sticky.cookie.name


def node(name: str, nodes: Mapping[str, Node]) -> Node:
    return Elsewhere(name) if external(name) else nodes[name]


def _nodes(services: Mapping[str, Service]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}

    def made(name: str) -> Node:
        if external(name):
            return Elsewhere(name)
        if name not in nodes:
            service = services[name]
            nodes[name] = (
                fork(
                    service.split,
                    [made(entry.to) for entry in service.split],
                    cookie=service.sticky.cookie if service.sticky is not None else None,
                    weight_zero=service.weight_zero,
                    when_down=service.when_down,
                    middlewares=service.middlewares,
                )
                if isinstance(service, Split)
                else _pool(name, service)
            )
        return nodes[name]

    for name in services:
        made(name)
    return nodes


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
    for position, step in enumerate(_steps(document, order)):
        index = step[0].route
        route, split = document.routes[index], splits.get(index)
        alone = route.canaries[step[0].canary].when if len(step) == 1 and step[0].canary is not None else None
        form = lift(both((*conditions(route), *((alone,) if alone is not None else ()))))
        tests = edge_tests(route.entry_points, route.tls.terminate if route.tls is not None else None)
        if form.match is not None:
            tests.append(compiled(form.match, http_leaf))
        ways = tuple(
            (_canary_test(route, rung.canary, split, asked_before=alone is not None), _way(route, rung, nodes, split)) for rung in step
        )
        path_test = path_is(form.path) if form.path is not None else None
        yield Entry(position, form.hosts, form.path, path_test, tuple(tests), ways)


def _canary_test(route: Route, canary: int | None, split: Fork | None, *, asked_before: bool) -> HttpTest | None:
    if canary is None:
        return None
    tests = [] if asked_before else [compiled(route.canaries[canary].when, http_leaf)]
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


def edge_tests(entry_points: Sequence[str], terminate: bool | None) -> list[Callable[[Asked], bool]]:
    """Where a request must have come in."""
    tests: list[HttpTest] = []
    if entry_points:
        points = frozenset(entry_points)
        tests.append(lambda asked: asked.request.entry_point in points)
    if terminate is not None:
        tests.append(lambda asked: asked.request.tls is terminate)
    return tests
