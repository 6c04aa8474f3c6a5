"""Trees with marks, taken apart and put together: what the labels of a container say, one thing at a time.

Where nobody asks for places yet, every mark is `NOWHERE` itself, and none are put together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from pinfeather.translators._docker.containers import Container
from pinfeather.translators._syntax.labels import Grown
from pinfeather.translators._syntax.tree import NOWHERE, Mark, Tree


class Piece(NamedTuple):
    """One router, service or middleware of a container. `servers` was taken out of a service."""

    grown: Grown
    key_mark: Mark
    container: Container
    servers: Collection[Grown] = ()
    made: bool = False
    """By Traefik itself: no label says it."""


def children(grown: Grown | None) -> list[tuple[str, Grown, Mark]]:
    """The entries of a mapping: key, value, and where the key stands."""
    if grown is None or not isinstance(grown.tree, dict):
        return []
    inner = grown.mark[4]
    if len(inner) != 2 * len(grown.tree):
        return [(key, Grown(child, grown.mark), grown.mark) for key, child in grown.tree.items()]
    return [(key, Grown(child, inner[2 * at + 1]), inner[2 * at]) for at, (key, child) in enumerate(grown.tree.items())]


def below(grown: Grown | None, key: str) -> Grown | None:
    if grown is None or not isinstance(grown.tree, dict) or key not in grown.tree:
        return None
    inner = grown.mark[4]
    if len(inner) != 2 * len(grown.tree):
        return Grown(grown.tree[key], grown.mark)
    return Grown(grown.tree[key], inner[2 * list(grown.tree).index(key) + 1])


def mapping(things: list[tuple[str, Grown, Mark]]) -> Grown:
    mark = things[0][2] if things else NOWHERE
    if mark is NOWHERE:
        return Grown({name: child.tree for name, child, _ in things}, NOWHERE)
    inner = tuple(each for _, child, key_mark in things for each in (key_mark, child.mark))
    return Grown({name: child.tree for name, child, _ in things}, (*mark[:4], inner))


def without_server(service: Grown) -> Grown:
    if service.mark is NOWHERE and isinstance(service.tree, dict) and isinstance(balancer := service.tree.get("loadBalancer"), dict):
        rest = {key: value for key, value in balancer.items() if key != "server"}
        return Grown({**service.tree, "loadBalancer": rest}, NOWHERE)
    things: list[tuple[str, Grown, Mark]] = []
    for key, child, key_mark in children(service):
        if key == "loadBalancer":
            held = mapping([each for each in children(child) if each[0] != "server"])
            child = Grown(held.tree, (*key_mark[:4], held.mark[4]))
        things.append((key, child, key_mark))
    made = mapping(things)
    return Grown(made.tree, (*service.mark[:4], made.mark[4]))


def with_fields(grown: Grown, kept: Mapping[str, Tree], added: Mapping[str, Tree], mark: Mark) -> Grown:
    if mark is NOWHERE:
        return Grown({**kept, **added}, NOWHERE)
    things = [each for each in children(grown) if each[0] in kept]
    things += [(key, Grown(value, (*mark[:4], ())), mark) for key, value in added.items()]
    made = mapping(things)
    return Grown(made.tree, (*mark[:4], made.mark[4]))
