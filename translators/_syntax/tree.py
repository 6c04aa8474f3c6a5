"""What every reader of this package hands on: plain values, and where each of them stands in its file.

Values and marks are kept apart, so that a value is nothing but `dict`, `list` and scalars. Trees are not to be changed:
a YAML alias shares the value of its anchor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from pinfeather.model.diagnostics import Diagnostic, Path, Severity, Span

Tree: TypeAlias = "bool | int | float | str | list[Tree] | dict[str, Tree] | None"

Mark: TypeAlias = "tuple[int, int, int, int, Sequence[Mark]]"
"""Line, column, end line, end column, all from 0 and from the start of the document's text; then the marks of what is
inside: of a list each element, of a mapping each key and each value in turn, in the order of the value. A plain tuple,
because one is made for every scalar of a file."""

NOWHERE: Mark = (0, 0, 0, 0, ())


Spot: TypeAlias = "Span | tuple[Reading, Path, bool]"
"""A place that becomes a span when somebody asks (`span_of_spot`), as most are never asked for: a document, a path in it, and
whether the key is meant that stands there."""


def span_of_spot(spot: Spot) -> Span:
    if isinstance(spot, Span):
        return spot
    reading, path, of_key = spot
    return reading.key_span_at(path) if of_key else reading.span_at(path)


class Spans(MutableMapping[Path, Span]):
    """Where things stand, by path. Takes spots, gives spans.

    `spots` is what it holds itself, `nested` what was put below a path: that is not copied, but asked where it is, so that most
    paths are short ones that all have in common. What is held itself comes first.
    """

    __slots__ = ("nested", "spots")

    def __init__(self, spots: Mapping[Path, Spot] = MappingProxyType({})) -> None:
        self.spots: dict[Path, Spot] = dict(spots.spots if isinstance(spots, Spans) else spots)
        self.nested: dict[Path, Spans] = dict(spots.nested) if isinstance(spots, Spans) and spots.nested else {}

    def spot(self, path: Path) -> Spot | None:
        found = self.spots.get(path)
        if found is not None or not self.nested:
            return found
        for length in range(1, len(path) + 1):
            inner = self.nested.get(path[:length])
            if inner is not None and (found := inner.spot(path[length:])) is not None:
                return found
        return None

    def __getitem__(self, path: Path) -> Span:
        spot = self.spot(path)
        if spot is None:
            raise KeyError(path)
        return span_of_spot(spot)

    def __setitem__(self, path: Path, spot: Spot) -> None:
        self.spots[path] = spot

    def __delitem__(self, path: Path) -> None:
        if self.spot(path) is None:
            raise KeyError(path)
        self.spots.pop(path, None)
        for length in range(1, len(path) + 1):
            if (inner := self.nested.get(path[:length])) is not None and path[length:] in inner:
                self.nested[path[:length]] = inner = Spans(inner)
                del inner[path[length:]]

    def __iter__(self) -> Iterator[Path]:
        yield from self.spots
        for at, inner in self.nested.items():
            yield from (path for each in inner if (path := at + each) not in self.spots)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return bool(self.spots) or any(self.nested.values())

    def __contains__(self, path: object) -> bool:
        return isinstance(path, tuple) and self.spot(path) is not None

    def put_below(self, at: Path, inner: Spans) -> None:
        """Adds all of `inner`, as paths from `at` on. One path is put below once, or with more of the same."""
        before = self.nested.get(at)
        if before is not None:
            more, before = inner, Spans(before)
            before.spots.update(more.spots)
            before.nested.update(more.nested)
        self.nested[at] = inner if before is None else before

    def below(self, at: Path) -> Spans | None:
        """What was put below a path."""
        return self.nested.get(at)

    def take_below(self, at: Path) -> Spans | None:
        """The same, and it is there no more."""
        return self.nested.pop(at, None)


class Limits(NamedTuple):
    """What one input may cost. All but `stream_bytes` and `documents` count for one YAML document, or one TOML file."""

    document_bytes: int = 32 << 20  # a compose file of 20,000 containers has 18 MB; what costs more than its size is bounded below
    stream_bytes: int = 64 << 20
    documents: int = 100_000
    events: int = 8_000_000
    depth: int = 64
    aliases: int = 1_000
    alias_nodes: int = 100_000  # what the aliases stand for, written out
    merged_pairs: int = 10_000  # what `<<` copies
    digits: int = 18  # of a whole number: what every reader can hold
    findings: int = 100  # a document with more faults than that is not worth the screen


LIMITS = Limits()


@dataclass(frozen=True, eq=False)
class Reading:
    """One document as it was read. With an error in `diagnostics`, `value` may lack what the error is about."""

    value: Tree
    place: Mark | Callable[[], Mark]
    file: str
    diagnostics: tuple[Diagnostic, ...] = ()
    first_line: int = 1  # the line of `file` that the marks count from
    text: str = field(default="", repr=False)
    """The document's own text, separators included: the texts of a stream put together are the stream."""

    @cached_property
    def mark(self) -> Mark:
        """Where the value stands, and all that is in it; made when it is first asked for, where `place` can make it."""
        return self.place() if callable(self.place) else self.place

    @property
    def broken(self) -> bool:
        return any(d.severity is Severity.ERROR for d in self.diagnostics)

    def span(self, mark: Mark) -> Span:
        line, column, end_line, end_column, _ = mark
        first = self.first_line
        return Span(self.file, line + first, column + 1, end_line + first, end_column + 1)

    def span_at(self, path: Path) -> Span:
        """Where a value stands; one that is not there, where the last stands on the way to it."""
        return self.span(self.marks_at(path)[1])

    def key_span_at(self, path: Path) -> Span:
        """The same of the key of a mapping's entry; of what is none, where it stands itself."""
        return self.span(self.marks_at(path)[0])

    @property
    def spans(self) -> Mapping[Path, Span]:
        """Where every value stands; `()` is the whole document. Each is made when it is looked up.

        Not kept: a reading that held them, while they hold it, would outlive its use until a collector finds it.
        """
        return _Places(self, keys=False)

    @property
    def key_spans(self) -> Mapping[Path, Span]:
        """Where the key of every mapping entry stands, by the path of the entry."""
        return _Places(self, keys=True)

    def marks_at(self, path: Path) -> tuple[Mark, Mark, int]:
        """The marks of key and value (twice the value's, where it is no entry of a mapping), and how many steps are there."""
        tree, mark = self.value, self.mark
        key_mark = mark
        for steps, step in enumerate(path):
            inner = mark[4]
            if isinstance(tree, dict) and isinstance(step, str) and step in tree:
                if len(inner) == 2 * len(tree):
                    index = 2 * self._index(tree, step, path[:steps])
                    key_mark, mark = inner[index], inner[index + 1]
                else:
                    key_mark = mark
                tree = tree[step]
            elif isinstance(tree, list) and isinstance(step, int) and 0 <= step < len(tree):
                key_mark = mark = inner[step] if len(inner) == len(tree) else mark
                tree = tree[step]
            else:
                return key_mark, mark, steps
        return key_mark, mark, len(path)

    def _index(self, pairs: dict[str, Tree], key: str, at: Path) -> int:
        if len(pairs) <= _SMALL:
            return list(pairs).index(key)
        known = self._indices.get(at)
        if known is None:
            known = self._indices[at] = {each: index for index, each in enumerate(pairs)}
        return known[key]

    @cached_property
    def _indices(self) -> dict[Path, dict[str, int]]:
        """Of large mappings of this document, by their path: the number of each key."""
        return {}


_SMALL = 16


class _Places(Mapping[Path, Span]):
    """The spans of a document's values, or of the keys of its mappings' entries."""

    def __init__(self, reading: Reading, *, keys: bool) -> None:
        self._reading, self._keys = reading, keys

    def __getitem__(self, path: Path) -> Span:
        key_mark, mark, steps = self._reading.marks_at(path)
        if steps != len(path) or (self._keys and not (path and isinstance(path[-1], str))):
            raise KeyError(path)
        return self._reading.span(key_mark if self._keys else mark)

    def __iter__(self) -> Iterator[Path]:
        return (path for path, key, _ in walk(self._reading.value, self._reading.mark) if key is not None or not self._keys)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def entries(value: dict[str, Tree], mark: Mark) -> Iterator[tuple[str, Tree, Mark, Mark]]:
    """Key, value, mark of the key, mark of the value, in order. Where no marks were kept, the mapping's own."""
    inner = mark[4]
    if len(inner) != 2 * len(value):
        yield from ((key, child, mark, mark) for key, child in value.items())
        return
    for index, (key, child) in enumerate(value.items()):
        yield key, child, inner[2 * index], inner[2 * index + 1]


def elements(value: list[Tree], mark: Mark) -> Iterator[tuple[Tree, Mark]]:
    inner = mark[4] if len(mark[4]) == len(value) else [mark] * len(value)
    return zip(value, inner, strict=True)


def walk(value: Tree, mark: Mark, path: Path = ()) -> Iterator[tuple[Path, Mark | None, Mark]]:
    """Every value with its path, the mark of its key if it is a mapping entry, and its own mark; outer ones first."""
    stack: list[tuple[Path, Mark | None, Mark, Tree]] = [(path, None, mark, value)]
    while stack:
        here, key_mark, own, tree = stack.pop()
        yield here, key_mark, own
        if isinstance(tree, dict):
            stack += [((*here, k), km, m, v) for k, v, km, m in reversed(list(entries(tree, own)))]
        elif isinstance(tree, list):
            found = list(elements(tree, own))
            stack += [((*here, i), None, *found[i][::-1]) for i in reversed(range(len(found)))]


def kind(value: Tree) -> str:
    """What a person calls this kind of value."""
    return _KINDS.get(type(value), "a text")


_KINDS: Mapping[type, str] = {
    type(None): "nothing", bool: "true or false", int: "a whole number", float: "a number with a fraction", str: "a text",
    list: "a list", dict: "a mapping",
}  # fmt: skip
