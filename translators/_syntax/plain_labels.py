"""The short way from labels to a tree: for labels that nothing is wrong with, without places, several times faster.

It gives the same tree as `labels.shaped`, or leaves the labels to that: whatever there is something to say about, and lists
by index, switches and what plugins are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter

from pinfeather.translators._syntax.labels import READ, VARIABLE, Grown, Label, Shaped, fields_of, shaped
from pinfeather.translators._syntax.paerser import split_list
from pinfeather.translators._syntax.tree import NOWHERE, Tree
from pinfeather.translators._traefik.nouns import Kind
from pinfeather.translators._traefik.schema import Named, Shape, Struct, Version

_Fields = Mapping[str, tuple[str, Shape]]
_Open = tuple[dict[str, Tree], "_Fields | None", Shape]
"""A mapping: what is in it so far, the keys that it may have (None: any), and what stands below each of those."""
_by_key = itemgetter(0)
_TEXT, _TEXTS, _INTEGER = Kind.TEXT, Kind.TEXTS, Kind.INTEGER  # to look a kind up costs as much as all else


def tree_of(labels: Iterable[Label], root: str, shape: Struct, version: Version, by_default: Callable[[str], str] = str) -> Shaped:
    """What `shaped` finds, without places."""
    ordered = sorted(labels, key=_by_key)
    tree = _plain(ordered, root, shape, version, by_default)
    return shaped(ordered, root, shape, version, by_default) if tree is None else Shaped(Grown(tree, NOWHERE), (), (), ())


def _plain(labels: list[Label], root: str, shape: Struct, version: Version, by_default: Callable[[str], str]) -> dict[str, Tree] | None:
    tree: dict[str, Tree] = {}
    begin = f"{root}."
    opened: dict[str, _Open | None] = {root: (tree, fields_of(shape, version), shape)}  # by path in lower case; None: a value
    for label in labels:
        key, value = label[0], label[1]
        if not key.startswith(begin) or not key.isascii() or "[" in key:
            return None
        low = key.lower()
        above, _, last = low.rpartition(".")
        node = opened.get(above) or _opened(key, above, opened, version)
        if node is None or not last or low in opened:
            return None
        held, fields, below = node
        if fields is None:
            name = key[-len(last) :]
        elif (field := fields.get(last)) is not None:
            name, below = field
        else:
            return None
        if below is _TEXT:
            held[name] = value
        elif below is _TEXTS:
            held[name] = list(split_list(by_default(value) if name == "entryPoints" and fields is not None else value))
        elif below is _INTEGER and VARIABLE[0] in value:
            held[name] = value
        elif isinstance(below, Kind) and (reads := READ.get(below)) is not None:
            read = reads(value if below is _INTEGER else by_default(value))
            if read is None:
                return None
            held[name] = read
        else:
            return None
        opened[low] = None
    return tree if labels else None


def _opened(key: str, above: str, opened: dict[str, _Open | None], version: Version) -> _Open | None:
    """The mapping of a path, made with those around it; None where a value stands on the way, or something else than a mapping."""
    path, *steps = above.split(".")
    node = opened[path]
    for part, name in zip(steps, key.split(".")[1:], strict=False):
        path = f"{path}.{part}"
        if path in opened:
            inner = opened[path]
        else:
            inner = _entered(node, part, name, version)
            opened[path] = inner
        if inner is None:
            return None
        node = inner
    return node


def _entered(node: _Open | None, part: str, name: str, version: Version) -> _Open | None:
    if node is None or not part:
        return None
    held, fields, below = node
    if fields is not None:
        if (field := fields.get(part)) is None:
            return None
        name, below = field
    made: dict[str, Tree] = {}
    if isinstance(below, Struct):
        inner: _Open = (made, fields_of(below, version), below)
    elif isinstance(below, Named):
        inner = (made, None, below.shape)
    else:
        return None
    held[name] = made
    return inner
