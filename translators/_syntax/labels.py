"""Labels as Traefik reads them: dotted keys to a tree. `plain_labels.py` is the short way for those that nothing is wrong with.

After github.com/traefik/paerser 0.2.2 (parser/labels_decode.go, nodes_metadata.go, element_fill.go), as observed on Traefik
3.7.15: keys are sorted, cut at dots and matched without regard to case, `name[0]` is an element of a list, lists of texts
have commas, a label on something that has keys switches it on or off. One label that Traefik does not know, or whose text
is of the wrong kind, and every label of that container is dropped: `shaped` returns what Traefik would say of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from pinfeather.model.diagnostics import Span, nearest
from pinfeather.translators._syntax import paerser
from pinfeather.translators._syntax.tree import NOWHERE, Mark, Spot, Tree
from pinfeather.translators._traefik.nouns import Kind
from pinfeather.translators._traefik.schema import Anything, Dropped, Listed, Named, Shape, Struct, Version

VARIABLE = "\ufdd0", "\ufdd1"
"""What stands around the number of a variable that nobody has replaced yet: see `variables.py`. No text has these characters."""


class Label(NamedTuple):
    """One label, and where it stands: the whole scalar of a list, or the value and the key of a mapping."""

    key: str
    value: str
    spot: Spot = Span("")
    key_spot: Spot | None = None

    @property
    def at_key(self) -> Spot:
        return self.key_spot or self.spot


class Fault(NamedTuple):
    """Why Traefik drops a container. `element`: the part of the key that it is about; `meant`: what that was to be, if it can be told."""

    label: Label
    message: str
    element: str = ""
    meant: str | None = None


@dataclass
class Node:
    """One element of the dotted keys. It may have a text and elements below it at once."""

    name: str
    label: Label
    value: str = ""
    children: list[Node] = field(default_factory=list)
    by_name: dict[str, Node] = field(default_factory=dict)
    """The same by their names in lower case."""

    def child(self, name: str) -> Node | None:
        return self.by_name.get(name.lower())

    def add(self, child: Node) -> None:
        self.children.append(child)
        self.by_name[child.name.lower()] = child


class Grown(NamedTuple):
    """A tree and where its values stand."""

    tree: Tree
    mark: Mark


def last_of_each(labels: Iterable[Label]) -> tuple[dict[str, Label], list[tuple[Label, Label]]]:
    """What Docker keeps of a list of labels: the last one of each key; and the pairs of which the first is lost."""
    kept: dict[str, Label] = {}
    lost: list[tuple[Label, Label]] = []
    for label in labels:
        if label.key in kept:
            lost.append((kept.pop(label.key), label))
        kept[label.key] = label
    return kept, lost


def grown(labels: Iterable[Label], root: str) -> tuple[Node | None, list[Fault], list[tuple[Label, Label]]]:
    """The nodes below `root`, what makes Traefik refuse them, and pairs of labels of which the second overwrites the first."""
    top: Node | None = None
    faults: list[Fault] = []
    twice: list[tuple[Label, Label]] = []
    for label in sorted(labels, key=lambda each: each.key):
        parts, why = _parts(label.key, root)
        if why is not None:
            other = bool(parts) and parts[0] != root and parts[0].lower() == root
            faults.append(Fault(label, why, parts[0] if other else "", root if other else None))
            continue
        top = top or Node(root, label)
        node, seen = top, True
        for name in parts[1:]:
            below = node.child(name)
            seen = below is not None
            if below is None:
                below = Node(name, label)
                node.add(below)
            node = below
        if seen and node is not top and node.label.key.lower() == label.key.lower():
            twice.append((node.label, label))
        node.value, node.label = label.value, label if not node.children else node.label
    return top, faults, twice


def _parts(key: str, root: str) -> tuple[list[str], str | None]:
    split = key.split(".")
    if split[0] != root:
        return split, f"invalid label root {split[0]}"
    parts: list[str] = []
    for name in split:
        if not name:
            return parts, f"invalid element: {key}"
        if name[0] == "[":
            return parts, f"invalid leading character '[' in field name (bracket is a slice delimiter): {name}"
        if name.endswith("]") and "[" in name:
            cut = name.index("[")
            parts += [name[:cut], name[cut:]]
        else:
            parts.append(name)
    return parts, None


# Shaping ---------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2048)
def fields_of(shape: Struct, version: Version) -> Mapping[str, tuple[str, Shape]]:
    """The keys that a version knows, by their lower case, with their own spelling and what stands below them."""
    return {key.lower(): (key, below) for key, below in shape.fields.items() if shape.since.get(key, (0, 0)) <= version}


class _Shaper:
    def __init__(self, version: Version, by_default: Callable[[str], str], mark_of: Callable[[Spot], Mark]) -> None:
        self.version = version
        self.by_default = by_default
        self.mark_of = mark_of
        self.faults: list[Fault] = []
        self.switched: list[tuple[Label, str]] = []
        """Labels whose text switches something off, though it may not look so."""

    def shape(self, node: Node, shape: Shape) -> Grown | None:
        """None: as if it were not there."""
        if isinstance(shape, Dropped):
            if shape.shape is not None and not isinstance(shape.shape, Kind):
                self.shape(node, shape.shape)
            return None
        if isinstance(shape, Kind):
            return self._leaf(node, shape)
        if isinstance(shape, Anything):
            return self._anything(node)
        if isinstance(shape, Listed):
            return self._listed(node, shape)
        if isinstance(shape, Named):
            if not node.children:
                self._fault(node, f"{node.name} cannot be a standalone element")
                return None
            return self._mapping(node, [(each.name, each, shape.shape) for each in node.children], named=True)
        return self._struct(node, shape)

    def whole(self, node: Node, shape: Struct) -> Grown | None:
        """What stands below the root."""
        return self._struct(node, shape, alone=True)

    def _struct(self, node: Node, shape: Struct, *, alone: bool = False) -> Grown | None:
        may_be_true = shape.may_be_true and shape.true_since <= self.version
        if not node.children and not may_be_true and not alone:
            self._fault(node, f"{node.name} cannot be a standalone element")
            return None
        entries: list[tuple[str, Node, Shape]] = []
        known = fields_of(shape, self.version)
        for child in node.children:
            field = known.get(child.name.lower())
            if field is None:
                later = next((key for key in shape.fields if key.lower() == child.name.lower()), None)
                because = f" (Traefik has it since {'.'.join(map(str, shape.since[later]))})" if later is not None else ""
                self._fault(child, f"field not found, node: {child.name}{because}", nearest(child.name, [key for key, _ in known.values()]))
                continue
            name, below = field
            entries.append((name, child, below))
        found = self._mapping(node, entries)
        said = self.by_default(node.value)
        if may_be_true and said and said.lower() != "true":
            self.switched.append((node.label, said))
            return None
        return found

    def _mapping(self, node: Node, entries: list[tuple[str, Node, Shape]], *, named: bool = False) -> Grown:
        tree: dict[str, Tree] = {}
        marks: list[Mark] = []
        for name, child, shape in entries:
            if name == "entryPoints" and not named:  # names have no variables
                child.value = self.by_default(child.value)
            below = self._struct(child, shape, alone=True) if named and isinstance(shape, Struct) else self.shape(child, shape)
            if below is None:
                continue
            tree[name] = below.tree
            marks += [self.mark_of(child.label.at_key), below.mark]
        return Grown(tree, self._around(node, marks))

    def _listed(self, node: Node, shape: Listed) -> Grown | None:
        items: list[Grown] = []
        for child in sorted(node.children, key=lambda each: each.name):
            if not child.name.startswith("["):
                self._fault(child, f"field not found, node: {child.name}")
                continue
            item = self._struct(child, shape.shape, alone=True)
            if item is not None:
                items.append(item)
        if not node.children:
            self._fault(node, f"invalid slice: node {node.name}")
            return None
        return Grown([each.tree for each in items], self._around(node, [each.mark for each in items]))

    def _leaf(self, node: Node, kind: Kind) -> Grown | None:
        if kind is Kind.TEXTS and node.children and all(each.name.startswith("[") and not each.children for each in node.children):
            marks: list[Mark] = [self.mark_of(each.label.spot) for each in node.children]
            return Grown([each.value for each in node.children], self._around(node, marks))
        if node.children:
            child = node.children[0]
            self._fault(child, f"field not found, node: {child.name}")
            return None
        value, mark = node.value, self.mark_of(node.label.spot)
        if kind in (Kind.BOOLEAN, Kind.DURATION):
            value = self.by_default(value)
        if kind is Kind.TEXTS:
            parts = paerser.split_list(value)
            return Grown(list(parts), self._around(node, [mark] * len(parts)))
        if kind is Kind.TEXT or (VARIABLE[0] in value and kind is Kind.INTEGER):
            return Grown(value, mark)
        read = READ[kind](value)
        if read is None:
            self._fault(node, f"{value!r} is not {_WANTED[kind]}")
            return None
        return Grown(read, mark)

    def _fault(self, node: Node, message: str, meant: str | None = None) -> None:
        self.faults.append(Fault(node.label, message, node.name, meant))

    def _anything(self, node: Node) -> Grown:
        if not node.children:
            return Grown(node.value, self.mark_of(node.label.spot))
        below = [(child.name, child, self._anything(child)) for child in node.children]
        marks = [mark for _, child, each in below for mark in (self.mark_of(child.label.at_key), each.mark)]
        return Grown({name: each.tree for name, _, each in below}, self._around(node, marks))

    def _around(self, node: Node, inner: list[Mark]) -> Mark:
        """The mark of a node with others inside."""
        mark = self.mark_of(node.label.spot)
        return mark if mark is NOWHERE else (*mark[:4], tuple(inner))


READ: Mapping[Kind, Callable[[str], Tree]] = {
    Kind.INTEGER: paerser.parse_int,
    Kind.BOOLEAN: paerser.parse_bool,
    Kind.DURATION: paerser.parse_duration,
}
_WANTED = {Kind.INTEGER: "a whole number", Kind.BOOLEAN: "true or false", Kind.DURATION: "a duration, such as 500ms, 5s or 1m"}


class Shaped(NamedTuple):
    """What the labels of a container say; `faults`: why Traefik drops all of them, if there are any."""

    found: Grown | None
    faults: tuple[Fault, ...]
    twice: tuple[tuple[Label, Label], ...]
    switched: tuple[tuple[Label, str], ...]


def shaped(
    labels: Iterable[Label],
    root: str,
    shape: Struct,
    version: Version,
    by_default: Callable[[str], str] = str,
    mark_of: Callable[[Spot], Mark] = lambda _spot: NOWHERE,
) -> Shaped:
    """The tree that Traefik makes of labels, in the file provider's spelling.

    `by_default` says what a text with variables is without a value for them, where there is no place for a variable.
    """
    top, faults, twice = grown(labels, root)
    shaper = _Shaper(version, by_default, mark_of)
    found = None if top is None else shaper.whole(top, shape)
    return Shaped(found, (*faults, *shaper.faults), tuple(twice), tuple(shaper.switched))
