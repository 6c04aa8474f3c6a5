"""Objects that were there before us, kept to the letter: what `pinfeather import` found stands in the place of what we would write.

A document says what an object means, and not how its author wrote it: a rule without a priority, two routes in one object, quotes, the order of
keys. So the objects that were found are kept beside the document. What they would be if we wrote them (the base) is compared with what we
write now: where both are the same, the found object stands; where the document was edited, the edit alone is made in it. In the end the
objects are read, and must mean what ours mean; where they do not, ours are taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import JsonValue

from pinfeather._convert import read
from pinfeather.importing.merging import joined, merged
from pinfeather.model.diagnostics import Allowed
from pinfeather.model.document import Document
from pinfeather.model.normal import normal
from pinfeather.model.project import project
from pinfeather.model.services import LoadBalancer
from pinfeather.translators.contract import AnyTranslator, File, KubernetesObject, KubernetesPatch, Options, Parsed, Source

Tree = dict[str, JsonValue]
_READINGS = 24
"""How often the whole is read to find out which found objects cannot be kept. What is not found out by then is written anew."""
_LISTED = ("routes", "tcp_routes")
_NAMED = ("services", "tcp_services", "middlewares", "tcp_middlewares", "tls_options", "servers_transports")
_INSIDE = ((), ("split",), ("sticky",), ("tls", "issuer"))
"""Where in a noun a second object may be seen: the TraefikService of a split inside a route, the Certificate of its TLS."""


class Key(NamedTuple):
    """What an object is called in a cluster."""

    kind: str
    namespace: str
    name: str


def key_of(tree: Tree, home: str = "") -> Key:
    """`home`: the namespace of objects that say none."""
    metadata = tree.get("metadata")
    held = metadata if isinstance(metadata, dict) else {}
    return Key(str(tree.get("kind")), str(held.get("namespace") or home), str(held.get("name")))


def as_adopted(emitted: Sequence[Tree], adopted: Sequence[Tree], translator: AnyTranslator, options: Options) -> tuple[Tree, ...]:
    """What is to be applied: `emitted`, with each object as it was found where that means the same.

    `adopted` are the objects that were found, and what the format needs to read them. Both sequences are in the order in which they are
    applied. The result means what `emitted` means, as the format reads it. Never raises for what cannot be read: then `emitted` stands.
    """
    if not adopted or list(emitted) == list(adopted):
        return tuple(emitted)
    found = _base(adopted, translator, options)
    if found is None:
        return tuple(emitted)
    swaps = _swaps(found, emitted)
    if found.whole and list(found.base) == list(emitted):
        return tuple(_placed(emitted, swaps, found.home))
    return _proved(emitted, swaps, translator, options, found.home)


def meaning(trees: Iterable[Tree], translator: AnyTranslator, options: Options) -> Document | None:
    """The one form of what objects say; None where they cannot be read."""
    document = _read(trees, translator, options).document
    return None if document is None else normal(document)


def _read(trees: Iterable[Tree], translator: AnyTranslator, options: Options) -> Parsed:
    # A file each, called by its number: so every noun is known to be of one object.
    return read(Source(tuple(File(str(number), json.dumps(tree)) for number, tree in enumerate(trees))), translator, options)


# The base --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """Found objects, and what we would write for the same nouns."""

    adopted: tuple[Tree, ...]
    base: tuple[Tree, ...]


@dataclass(frozen=True)
class _Base:
    base: tuple[Tree, ...]
    groups: tuple[_Group, ...]
    home: str

    @property
    def whole(self) -> bool:
        """Whether every object that we would write has been found."""
        return sum(len(group.base) for group in self.groups) == len(self.base)


def _base(adopted: Sequence[Tree], translator: AnyTranslator, options: Options) -> _Base | None:
    """What we would write for the objects that were found, and which belongs to which."""
    home = str(getattr(options, "namespace", "") or "")
    parsed = _read(adopted, translator, options)
    if parsed.document is None:
        return None
    kept = project(parsed.document, translator.supports(options), (Allowed("loss.*"),)).kept
    artifacts = translator.emit(kept, options).artifacts
    objects = [dict(each.tree) for each in artifacts if isinstance(each, KubernetesObject) and isinstance(each.tree, dict)]
    patched = {key_of(dict(each.tree), home) for each in artifacts if isinstance(each, KubernetesPatch) and isinstance(each.tree, dict)}
    again = _read(objects, translator, options)
    sides = ([each if key_of(each, home) not in patched else {} for each in adopted], objects)
    return _Base(tuple(objects), tuple(_groups(sides, (_owners(parsed), _owners(again)), home)), home)


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


def _groups(sides: tuple[Sequence[Tree], Sequence[Tree]], owners: tuple[Mapping[tuple[str, str], set[int]], ...], home: str) -> list[_Group]:
    """The objects of both sides that have nouns in common, or a name, or of which one names a helper of the other."""
    leader: dict[tuple[int, int], tuple[int, int]] = {(side, number): (side, number) for side in (0, 1) for number in range(len(sides[side]))}

    def of(one: tuple[int, int]) -> tuple[int, int]:
        while leader[one] != one:
            leader[one] = one = leader[leader[one]]
        return one

    def tie(members: Iterable[tuple[int, int]]) -> None:
        first, *rest = [of(each) for each in members] or [(0, 0)]
        for each in rest:
            leader[of(each)] = of(first)

    for noun in owners[0].keys() & owners[1].keys():
        tie([(side, number) for side in (0, 1) for number in sorted(owners[side][noun])])
    named: dict[Key, list[tuple[int, int]]] = {}
    for side in (0, 1):
        for number, tree in enumerate(sides[side]):
            if tree:
                named.setdefault(key_of(tree, home), []).append((side, number))
    for members in named.values():
        tie(members)
    for side in (0, 1):
        _tie_helpers(sides[side], side, tie, home)
    gathered: dict[tuple[int, int], tuple[list[Tree], list[Tree]]] = {}
    for one in sorted(leader):
        if tree := sides[one[0]][one[1]]:
            gathered.setdefault(of(one), ([], []))[one[0]].append(tree)
    return [_Group(tuple(found), tuple(base)) for found, base in gathered.values() if found and base]


_HELPERS = ("Secret", "EndpointSlice", "Endpoints", "Certificate")


def _tie_helpers(trees: Sequence[Tree], side: int, tie: Callable[[Iterable[tuple[int, int]]], None], home: str) -> None:
    """Ties a Secret to what names it, and an EndpointSlice to its Service: they are no nouns themselves."""
    helpers = {number: key_of(tree, home) for number, tree in enumerate(trees) if tree.get("kind") in _HELPERS}
    if not helpers:
        return
    texts = {number: (key_of(tree, home).namespace, frozenset(_texts(tree))) for number, tree in enumerate(trees) if tree}
    for number, helper in helpers.items():
        for other, (namespace, said) in texts.items():
            names = helper.name in said or (trees[other].get("kind") == "Service" and key_of(trees[other]).name in texts[number][1])
            if other != number and namespace == helper.namespace and names:
                tie([(side, other), (side, number)])


def _texts(tree: JsonValue) -> Iterable[str]:
    if isinstance(tree, str):
        yield tree
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _texts(each)


# The swap --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Swap:
    """What stands in the place of some emitted objects."""

    emitted: frozenset[Key]
    instead: tuple[Tree, ...]


def _swaps(found: _Base, emitted: Sequence[Tree]) -> list[_Swap]:
    written = {key_of(tree, found.home): tree for tree in emitted}
    swaps = []
    for group in found.groups:
        now = {key: written[key] for tree in group.base if (key := key_of(tree, found.home)) in written}
        instead = _instead(group, list(now.values()), found.home)
        if now and instead is not None:
            swaps.append(_Swap(frozenset(now), instead))
    return swaps


def _instead(group: _Group, now: list[Tree], home: str) -> tuple[Tree, ...] | None:
    """The found objects of a group with what has changed since; None where that cannot be said in them."""
    if list(group.base) == now:
        return group.adopted
    pairs = {key_of(tree, home): tree for tree in group.base}
    current = {key_of(tree, home): tree for tree in now}
    if pairs.keys() == current.keys() == {key_of(tree, home) for tree in group.adopted}:
        return tuple(_merged(pairs[key_of(tree, home)], current[key_of(tree, home)], tree) for tree in group.adopted)
    if len(group.adopted) != 1 or not now:
        return None
    before, after = joined(group.base), joined(now)
    return None if before is None or after is None else (_merged(before, after, group.adopted[0]),)


def _merged(before: Tree, after: Tree, found: Tree) -> Tree:
    tree = merged(before, after, found)
    assert isinstance(tree, dict)
    metadata, own = tree["metadata"], found["metadata"]
    assert isinstance(metadata, dict)
    assert isinstance(own, dict)
    return {**tree, "metadata": {**metadata, "name": own["name"]}}


def _placed(emitted: Sequence[Tree], swaps: Iterable[_Swap], home: str) -> Iterable[Tree]:
    """The objects in the order of what was emitted: each found one where the first of its kind stood."""
    by_key = {key: swap for swap in swaps for key in swap.emitted}
    left: dict[int, list[Tree]] = {id(swap): list(swap.instead) for swap in by_key.values()}
    last = {id(by_key[key]): key for tree in emitted if (key := key_of(tree, home)) in by_key}
    for tree in emitted:
        key = key_of(tree, home)
        swap = by_key.get(key)
        if swap is None:
            yield tree
            continue
        waiting = left[id(swap)]
        here = waiting if key == last[id(swap)] else [each for each in waiting if each.get("kind") == key.kind]
        left[id(swap)] = [each for each in waiting if all(each is not other for other in here)]
        yield from here


def _proved(
    emitted: Sequence[Tree], swaps: Sequence[_Swap], translator: AnyTranslator, options: Options, home: str
) -> tuple[Tree, ...]:
    """As many swaps as leave the meaning what it is."""
    if not swaps:
        return tuple(emitted)
    wanted = meaning(emitted, translator, options)
    if wanted is None:
        return tuple(emitted)
    kept: list[_Swap] = []
    chunks, readings = [list(swaps)], 0
    while chunks and readings < _READINGS:
        chunk, readings = chunks.pop(), readings + 1
        trees = list(_placed(emitted, [*kept, *chunk], home))
        if _unique(trees, home) and meaning(trees, translator, options) == wanted:
            kept += chunk
        elif len(chunk) > 1:
            middle = len(chunk) // 2
            chunks += [chunk[middle:], chunk[:middle]]
    return tuple(_placed(emitted, kept, home))


def _unique(trees: Sequence[Tree], home: str) -> bool:
    return len({key_of(tree, home) for tree in trees}) == len(trees)
