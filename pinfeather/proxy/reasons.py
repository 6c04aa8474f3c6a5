"""Why a request came to its variant and its server, worked out after the decision: for the access log, and for cookies that
are to be given out anew. What `explain` says at length (`pinfeather.model.trace`), in one word a level."""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from pinfeather.model.balance import Elsewhere, Fork, Node, Pool
from pinfeather.model.decide import Decision, State, Table
from pinfeather.model.table import node as named

Why = Literal["canary", "bound", "drawn", "only"]
"""A canary's condition held; a cookie or address says so; by weight; nothing else could be."""


class Level(NamedTuple):
    """One level of the way: a split, or the servers of a service."""

    pool: str | None
    """The name of the cookie, as the table has it, that can bind a client here."""
    to: str
    """The variant (a service), or the key of the server."""
    why: Why
    server: bool


def levels(table: Table, route: int, decision: Decision, bindings: Mapping[str, str], state: State) -> Iterator[Level]:
    """From the route, by its number in the document, to the server, as far as the decision came."""
    rule = table.document.routes[route]
    node: Node
    if decision.canary is not None:
        to = rule.canaries[decision.canary].to
        yield Level(None, to, "canary", False)
        node = named(to, table.nodes)
    else:
        node = table.splits[route] if rule.to is None else named(rule.to, table.nodes)
    given = {binding.cookie.name: binding.value for binding in decision.set_cookies}
    while isinstance(node, Fork):
        level = _variant(node, decision, given, bindings, state)
        if level is None:
            return
        yield level
        node = node.variants[node.names.index(level.to)].to
    if isinstance(node, Pool) and decision.server_key is not None:
        yield Level(node.bound_by, decision.server_key, _why(node, bindings, state), True)


def _variant(fork: Fork, decision: Decision, given: Mapping[str, str], bindings: Mapping[str, str], state: State) -> Level | None:
    pool = None if fork.cookie is None else fork.cookie.name
    held = fork.held(bindings, state)
    if held is not None:
        name = fork.names[held.ways[0].position]
    elif pool is not None and pool in given:
        name = given[pool]
    else:  # an entry that binds nobody: the first that leads to where the request came
        found = (name for name, way in zip(fork.names, fork.variants, strict=True) if _leads(way.to, decision.service))
        name = next(found, "")
    return Level(pool, name, _why(fork, bindings, state), False) if name else None


def _why(node: Fork | Pool, bindings: Mapping[str, str], state: State) -> Why:
    if node.held(bindings, state) is not None:
        return "bound"
    return "only" if len(node.choices(bindings, state).ways) == 1 else "drawn"


def _leads(node: Node, service: str | None) -> bool:
    if isinstance(node, Pool | Elsewhere):
        return node.name == service
    return any(_leads(way.to, service) for way in node.variants)
