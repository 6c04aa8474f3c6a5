"""The index by host and path: of thousands of routes only those are asked that could hold.

A name is looked up as it is and by its parent (`*.parent`); entries that fix no name stand in a list of their own. Under
a name with many paths an exact path is looked up, and each length of prefix that occurs. What is found first in the one
order wins, wherever it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from pinfeather.model.conditions import all_of
from pinfeather.model.match import PathMatch
from pinfeather.model.request import undotted


class Asking(Protocol):
    """What an index needs to know of a request."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...


A = TypeVar("A", bound=Asking)
T = TypeVar("T")

_FEW = 12  # so many entries are asked one after the other at least as fast as through dictionaries (measured)


class Entry(NamedTuple, Generic[A, T]):
    """One place in the order: what all of its ways ask for, and the ways, of which the first that holds is taken."""

    order: int
    names: tuple[str, ...]  # none: every name
    path: PathMatch | None
    path_test: Callable[[A], bool] | None
    tests: tuple[Callable[[A], bool], ...]  # what is asked beside name and path
    ways: tuple[tuple[Callable[[A], bool] | None, T], ...]


class _Kept(NamedTuple, Generic[A, T]):
    order: int
    test: Callable[[A], bool] | None
    ways: tuple[tuple[Callable[[A], bool] | None, T], ...]


_Tests = tuple[Callable[[A], bool], ...]
_Row = list[_Kept[A, T]]
_Found = tuple[int, T]  # place in the order, and what stands there


@dataclass(slots=True)
class _Shelf(Generic[A, T]):
    """The entries of one name, in order."""

    row: _Row[A, T]  # those that no path leads to
    exact: dict[str, _Row[A, T]]
    prefixes: list[tuple[int, dict[str, _Row[A, T]]]]  # by length

    @classmethod
    def of(cls, entries: list[Entry[A, T]], whole: Callable[[_Tests[A]], Callable[[A], bool] | None]) -> _Shelf[A, T]:
        shelf: _Shelf[A, T] = cls([], {}, [])
        by_length: dict[int, dict[str, _Row[A, T]]] = {}
        few = len(entries) <= _FEW
        for entry in entries:
            path = entry.path
            if few or path is None or path.regex is not None:
                shelf.row.append(_Kept(entry.order, whole(_with(entry.path_test, entry.tests)), entry.ways))
                continue
            kept = _Kept(entry.order, whole(entry.tests), entry.ways)
            if path.exact is not None:
                shelf.exact.setdefault(path.exact, []).append(kept)
            elif path.prefix is not None:
                by_length.setdefault(len(path.prefix), {}).setdefault(path.prefix, []).append(kept)
        shelf.prefixes = sorted(by_length.items())
        return shelf

    def first(self, asked: A, best: _Found[T] | None) -> _Found[T] | None:
        best = _first(self.row, asked, best)
        if self.exact or self.prefixes:
            path = asked.path
            if (row := self.exact.get(path)) is not None:
                best = _first(row, asked, best)
            longest = len(path)
            for length, rows in self.prefixes:
                if length > longest:
                    break
                if (row := rows.get(path[:length])) is not None:
                    best = _first(row, asked, best)
        return best


def _first(row: _Row[A, T], asked: A, best: _Found[T] | None) -> _Found[T] | None:
    for order, test, ways in row:
        if best is not None and order > best[0]:
            return best
        if test is None or test(asked):
            for condition, found in ways:
                if condition is None or condition(asked):
                    return order, found
    return best


def _with(first: Callable[[A], bool] | None, rest: tuple[Callable[[A], bool], ...]) -> tuple[Callable[[A], bool], ...]:
    return rest if first is None else (first, *rest)


@dataclass(frozen=True, slots=True)
class Index(Generic[A, T]):
    """Finds the first entry, in the one order, whose conditions hold."""

    _names: dict[str, _Shelf[A, T]]
    _parents: dict[str, _Shelf[A, T]]
    _others: _Shelf[A, T]
    _some_others: bool

    @classmethod
    def of(cls, entries: Iterable[Entry[A, T]]) -> Index[A, T]:
        """Entries stand in their order."""
        made: dict[_Tests[A], Callable[[A], bool] | None] = {}

        def whole(tests: _Tests[A]) -> Callable[[A], bool] | None:  # equal ones are one: what is shared stays in the processor's cache
            return made[tests] if tests in made else made.setdefault(tests, all_of(tests))

        names: dict[str, list[Entry[A, T]]] = {}
        parents: dict[str, list[Entry[A, T]]] = {}
        others: list[Entry[A, T]] = []
        for entry in entries:
            if not entry.names or "*" in entry.names:
                others.append(entry)
                continue
            for name in dict.fromkeys(undotted(name) for name in entry.names):
                if name.startswith("*."):
                    parents.setdefault(name[2:], []).append(entry)
                else:
                    names.setdefault(name, []).append(entry)
        return cls(
            {name: _Shelf.of(found, whole) for name, found in names.items()},
            {name: _Shelf.of(found, whole) for name, found in parents.items()},
            _Shelf.of(others, whole),
            bool(others),
        )

    def first(self, asked: A) -> T | None:
        best: _Found[T] | None = None
        name = asked.name
        if (shelf := self._names.get(name)) is not None:
            best = shelf.first(asked, None)
        if self._parents:
            _, dot, parent = name.partition(".")
            if dot and (shelf := self._parents.get(parent)) is not None:
                best = shelf.first(asked, best)
        if self._some_others:
            best = self._others.first(asked, best)
        return None if best is None else best[1]
