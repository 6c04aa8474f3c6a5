"""The short way from labels to a tree: for labels that nothing is wrong with, without places, several times faster.

It gives the same tree as `labels.shaped`, or leaves the labels to that: whatever there is something to say about, and lists
by index, switches and what plugins are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pinfeather.translators._syntax.labels import READ, VARIABLE, Grown, Label, Shaped, fields_of, shaped
from pinfeather.translators._syntax.paerser import parse_int, split_list
from pinfeather.translators._syntax.tree import NOWHERE, Tree
from pinfeather.translators._traefik.nouns import Kind
from pinfeather.translators._traefik.schema import Named, Shape, Struct, Version

_Fields = Mapping[str, tuple[str, Shape]]
_Open = tuple[dict[str, Tree], "_Fields | None", Shape]
"""A mapping: what is in it so far, the keys that it may have (None: any), and what stands below each of those."""
_TEXT, _TEXTS, _INTEGER = Kind.TEXT, Kind.TEXTS, Kind.INTEGER  # to look a kind up costs as much as all else
_DEEPEST = 12  # no mapping is deeper


def tree_of(labels: Iterable[Label], root: str, shape: Struct, version: Version, by_default: Callable[[str], str] = str) -> Shaped:
    """What `shaped` finds, without places."""
    ordered = sorted(labels, key=lambda label: label.key)
    tree = _plain(ordered, root, shape, version, by_default)
    return shaped(ordered, root, shape, version, by_default) if tree is None else Shaped(Grown(tree, NOWHERE), (), (), ())


def _plain(labels: list[Label], root: str, shape: Struct, version: Version, by_default: Callable[[str], str]) -> dict[str, Tree] | None:
    tree: dict[str, Tree] = {}
    begin = f"{root}."
    opened: dict[str, _Open] = {root: (tree, fields_of(shape, version), shape)}  # by path in lower case
    texts: set[str] = set()  # the paths of texts with names of their own (headers), as one name has many spellings
    for label in labels:
        key, value = label[0], label[1]
        if not key.startswith(begin) or not key.isascii() or "[" in key:
            return None
        low = key.lower()
        above, _, last = low.rpartition(".")
        node = opened.get(above) or _opened(key, above, opened, version)
        if node is None:
            return None
        held, fields, below = node
        if fields is None:
            if not last or low in texts:
                return None
            texts.add(low)
            name = key[-len(last) :]
        elif (field := fields.get(last)) is not None:
            name, below = field
        else:
            return None
        if name in held:
            return None
        read = value if below is _TEXT else _read(value, below, by_default, of_names=name == "entryPoints" and fields is not None)
        if read is None:
            return None
        held[name] = read
    return tree if labels else None


def _read(value: str, kind: Shape, by_default: Callable[[str], str], *, of_names: bool) -> Tree:
    """What a text is; None where it is none of that kind, or has something below it."""
    if kind is _TEXTS:
        return [*split_list(by_default(value) if of_names else value)]
    if kind is _INTEGER:
        return value if VARIABLE[0] in value else parse_int(value)
    return READ[kind](by_default(value)) if type(kind) is Kind and kind in READ else None


def _opened(key: str, path: str, opened: dict[str, _Open], version: Version) -> _Open | None:
    """The mapping of a path, made with those around it; None where something else stands on the way."""
    above, _, last = path.rpartition(".")
    if not last or path.count(".") > _DEEPEST:
        return None
    node = opened.get(above) or _opened(key, above, opened, version)
    if node is None:
        return None
    held, fields, below = node
    if fields is None:
        name = key[len(above) + 1 : len(path)]
    elif (field := fields.get(last)) is not None:
        name, below = field
    else:
        return None
    made: dict[str, Tree] = {}
    if type(below) is Struct:
        inner: _Open = (made, fields_of(below, version), below)
    elif type(below) is Named:
        inner = (made, None, below.shape)
    else:
        return None
    held[name] = made
    opened[path] = inner
    return inner
