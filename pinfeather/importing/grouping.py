"""Which objects that were found and which that we would write belong together: those in which the same nouns stand. Pure.

A noun is known to be of an object by its spans: each object is read as a file of its own, called by its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import JsonValue
from pydantic_core import PydanticCustomError

from pinfeather.model.noun import printable
from pinfeather.model.services import LoadBalancer
from pinfeather.translators.contract import Parsed

Tree = dict[str, JsonValue]
Place = tuple[int, int]
"""A side (0: found, 1: what we would write), and the number of an object on it."""
_LISTED = ("routes", "tcp_routes")
_ROUTING = frozenset({"IngressRoute", "IngressRouteTCP", "Ingress"})
_NAMED = ("services", "tcp_services", "middlewares", "tcp_middlewares", "tls_options", "servers_transports")
_INSIDE = ((), ("split",), ("sticky",), ("tls", "issuer"))
"""Where in a noun a second object may be seen: the TraefikService of a split inside a route, the Certificate of its TLS."""
_HELPERS = ("Secret", "EndpointSlice", "Endpoints", "Certificate")
"""Kinds that are no nouns themselves: they belong to what names them."""


class Key(NamedTuple):
    """What an object is called in a cluster."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Group:
    """Found objects, and what we would write for the same nouns."""

    adopted: tuple[Tree, ...]
    base: tuple[Tree, ...]


def key_of(tree: Tree, home: str = "") -> Key:
    """`home`: the namespace of objects that say none."""
    metadata = tree.get("metadata")
    held = metadata if isinstance(metadata, dict) else {}
    return Key(str(tree.get("kind")), str(held.get("namespace") or home), str(held.get("name")))


def texts(tree: JsonValue) -> Iterator[str]:
    """Every text in a tree but its keys."""
    if isinstance(tree, str):
        yield tree
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from texts(each)


def readable(tree: Tree) -> Tree:
    """An object without the annotations that no document can hold (several lines, control characters): they say nothing about routing."""
    metadata = tree.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(annotations, dict):
        return tree
    kept = {key: text for key, text in annotations.items() if not isinstance(text, str) or _holds(text)}
    return tree if len(kept) == len(annotations) else {**tree, "metadata": {**metadata, "annotations": kept}}


def _holds(text: str) -> bool:
    try:
        printable(text)
    except PydanticCustomError:
        return False
    return True


def ours(adopted: Sequence[Tree], parsed: Parsed, base: Sequence[Tree], home: str) -> list[bool]:
    """Of each found object whether something is written in its place; the others are read with them, and left alone.

    A Service is ours only where we would write one of its name: else it is the application's.
    """
    keys, kinds = {key_of(tree, home) for tree in base}, {str(tree.get("kind")) for tree in base}
    owners = _owners(parsed)
    nouns = set[int]().union(*owners.values())
    # An object for routes of which no route was read is not in the document, whatever services it names.
    routes = set[int]().union(*(numbers for (section, _), numbers in owners.items() if section in _LISTED))
    own = [
        key_of(tree, home) in keys
        or (number in (routes if tree.get("kind") in _ROUTING else nouns) and tree.get("kind") not in (*_HELPERS, "Service"))
        for number, tree in enumerate(adopted)
    ]
    named = {(key_of(tree, home).namespace, text) for tree, mine in zip(adopted, own, strict=True) if mine for text in texts(tree)}
    return [
        mine or (tree.get("kind") in _HELPERS and tree.get("kind") in kinds and _tied(tree, named, home))
        for tree, mine in zip(adopted, own, strict=True)
    ]


def _tied(tree: Tree, named: set[tuple[str, str]], home: str) -> bool:
    key = key_of(tree, home)
    return (key.namespace, key.name) in named or any((key.namespace, text) in named for text in _service(tree))


def _service(tree: Tree) -> list[str]:
    """The Service that an EndpointSlice says it is of."""
    metadata = tree.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    name = labels.get("kubernetes.io/service-name") if isinstance(labels, dict) else None
    return [str(name)] if name else []


def _owners(parsed: Parsed) -> dict[tuple[str, str], set[int]]:
    """The numbers of the objects in which each noun stands."""
    document = parsed.document
    if document is None:
        return {}
    owners: dict[tuple[str, str], set[int]] = {}
    for section in _LISTED:
        for index, route in enumerate(getattr(document, section)):
            spans = (parsed.spans.get((section, index, *inside)) for inside in _INSIDE)
            owners[section, str(route.name)] = {int(span.file) for span in spans if span is not None}
    routing = set[int]().union(*owners.values())
    for section in _NAMED:
        for name, noun in getattr(document, section).items():
            span = parsed.spans.get((section, name))
            # A use of a Service stands in whatever names it, and is no object.
            if span is not None and not (isinstance(noun, LoadBalancer) and int(span.file) in routing):
                owners[section, str(name)] = {int(span.file)}
    return owners


@dataclass(slots=True)
class _Ties:
    """Which objects belong together, so far."""

    leaders: dict[Place, Place] = field(default_factory=dict)

    def leader(self, one: Place) -> Place:
        while (above := self.leaders.setdefault(one, one)) != one:
            self.leaders[one] = one = self.leaders.setdefault(above, above)
        return one

    def tie(self, members: Iterable[Place]) -> None:
        found = [self.leader(each) for each in members]
        for each in found[1:]:
            self.leaders[self.leader(each)] = self.leader(found[0])


def groups(sides: tuple[Sequence[Tree], Sequence[Tree]], parsed: tuple[Parsed, Parsed], home: str) -> list[Group]:
    """The objects of both sides (an empty tree is none) that have a noun in common, or a name, or of which one is the other's helper."""
    ties = _Ties()
    owners = _owners(parsed[0]), _owners(parsed[1])
    for noun in owners[0].keys() & owners[1].keys():
        ties.tie([(side, number) for side in (0, 1) for number in sorted(owners[side][noun]) if sides[side][number]])
    named: dict[Key, list[Place]] = {}
    for side in (0, 1):
        for number, tree in enumerate(sides[side]):
            if tree:
                named.setdefault(key_of(tree, home), []).append((side, number))
        _tie_helpers(sides[side], side, ties, home)
    for members in named.values():
        ties.tie(members)
    gathered: dict[Place, tuple[list[Tree], list[Tree]]] = {}
    for side in (0, 1):
        for number, tree in enumerate(sides[side]):
            if tree:
                gathered.setdefault(ties.leader((side, number)), ([], []))[side].append(tree)
    return [Group(tuple(found), tuple(base)) for found, base in gathered.values() if found and base]


def _tie_helpers(trees: Sequence[Tree], side: int, ties: _Ties, home: str) -> None:
    named: dict[tuple[str, str], list[int]] = {}
    if any(tree.get("kind") in _HELPERS for tree in trees):
        for number, tree in enumerate(trees):
            for text in set(texts(tree)):
                named.setdefault((key_of(tree, home).namespace, text), []).append(number)
    for number, tree in enumerate(trees):
        if tree.get("kind") in _HELPERS:
            key = key_of(tree, home)
            places = [(side, other) for name in (key.name, *_service(tree)) for other in named.get((key.namespace, name), ())]
            ties.tie([(side, number), *places])
