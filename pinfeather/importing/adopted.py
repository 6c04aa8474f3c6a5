"""Objects that were there before us, kept to the letter: what `pinfeather import` found stands in the place of what we would write.

A document says what an object means, and not how its author wrote it: a rule without a priority, two routes in one object, quotes, the
order of keys. So the objects that were found are kept beside the document. What they would be if we wrote them (the base) is compared with
what we write now: where both are the same, the found object stands; where the document was edited, the edit alone is made in it. In the end
the objects are read, and must mean what ours mean; where they do not, ours are taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pinfeather._convert import read
from pinfeather.importing.grouping import Group, Key, Tree, groups, key_of, ours, readable
from pinfeather.importing.merging import joined, merged
from pinfeather.importing.nameless import nameless
from pinfeather.model.diagnostics import Allowed
from pinfeather.model.document import Document
from pinfeather.model.normal import normal
from pinfeather.model.project import project
from pinfeather.translators.contract import AnyTranslator, File, KubernetesObject, Options, Parsed, Source

_READINGS = 8
"""How often the whole is read to find out which found objects cannot be kept. What is not found out by then is written anew."""


def as_adopted(emitted: Sequence[Tree], adopted: Sequence[Tree], translator: AnyTranslator, options: Options) -> tuple[Tree, ...]:
    """What is to be applied: `emitted`, with each object as it was found where that means the same.

    `adopted` are the objects that were found, and what the format needs to read them. Both sequences are in the order in which they are
    applied. The result means what `emitted` means, as the format reads it. Never raises for what cannot be read: then `emitted` stands.
    """
    if not adopted or list(emitted) == list(adopted):
        return tuple(emitted)
    parsed = _read(adopted, translator, options)
    if parsed.document is None:
        return tuple(emitted)
    home = str(getattr(options, "namespace", "") or "")
    artifacts = translator.emit(_sayable(parsed.document, translator, options), options).artifacts
    base = [dict(each.tree) for each in artifacts if isinstance(each, KubernetesObject) and isinstance(each.tree, dict)]
    mine = ours(adopted, parsed, base, home)
    if base == list(emitted):
        kinds = list(dict.fromkeys(tree.get("kind") for tree in emitted))
        found = [tree for tree, own in zip(adopted, mine, strict=True) if own]
        return tuple(sorted(found, key=lambda tree: kinds.index(tree.get("kind")) if tree.get("kind") in kinds else 0))
    sides = ([tree if own else {} for tree, own in zip(adopted, mine, strict=True)], base)
    around = [tree for tree, own in zip(adopted, mine, strict=True) if not own]
    swaps = _swaps(groups(sides, (parsed, _read(base, translator, options)), home), emitted, home)
    return _proved(emitted, swaps, lambda trees: meaning((*around, *trees), translator, options), home)


def meaning(trees: Iterable[Tree], translator: AnyTranslator, options: Options) -> Document | None:
    """The one form of what objects say, of what the format can say, whatever things are called; None where they cannot be read."""
    document = _read(trees, translator, options).document
    # By place: `normal` has put the routes in their order.
    return None if document is None else normal(nameless(normal(_sayable(document, translator, options))))


def _sayable(document: Document, translator: AnyTranslator, options: Options) -> Document:
    return project(document, translator.supports(options), (Allowed("loss.*"),)).kept


def _read(trees: Iterable[Tree], translator: AnyTranslator, options: Options) -> Parsed:
    # A file each, called by its number: so every noun is known to be of one object.
    return read(Source(tuple(File(str(number), json.dumps(readable(tree))) for number, tree in enumerate(trees))), translator, options)


# The swap --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Swap:
    """What stands in the place of some emitted objects."""

    emitted: frozenset[Key]
    instead: tuple[Tree, ...]


def _swaps(found: Iterable[Group], emitted: Sequence[Tree], home: str) -> list[_Swap]:
    written = {key_of(tree, home): tree for tree in emitted}
    swaps = []
    for group in found:
        now = {key: written[key] for tree in group.base if (key := key_of(tree, home)) in written}
        instead = _instead(group, list(now.values()), home)
        if now and instead is not None:
            swaps.append(_Swap(frozenset(now), instead))
    return swaps


def _instead(group: Group, now: list[Tree], home: str) -> tuple[Tree, ...] | None:
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
    emitted: Sequence[Tree], swaps: Sequence[_Swap], read_back: Callable[[Sequence[Tree]], Document | None], home: str
) -> tuple[Tree, ...]:
    """As many swaps as leave the meaning what it is."""
    if not swaps:
        return tuple(emitted)
    wanted = read_back(emitted)
    if wanted is None:
        return tuple(emitted)
    kept: list[_Swap] = []
    chunks, readings = [list(swaps)], 0
    while chunks and readings < _READINGS:
        chunk, readings = chunks.pop(), readings + 1
        trees = list(_placed(emitted, [*kept, *chunk], home))
        if _unique(trees, home) and read_back(trees) == wanted:
            kept += chunk
        elif len(chunk) > 1:
            middle = len(chunk) // 2
            chunks += [chunk[middle:], chunk[:middle]]
    return tuple(_placed(emitted, kept, home))


def _unique(trees: Sequence[Tree], home: str) -> bool:
    return len({key_of(tree, home) for tree in trees}) == len(trees)
