"""A values file of Helm as a stream of Kubernetes objects: the texts and mappings below two keys, each where it stands.

A literal text (`|`) is read with the columns that it has in the file. In a text of another style nothing can be told apart:
everything in it stands where the text does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Diagnostic, Path, Span, error, info
from pinfeather.model.noun import Template
from pinfeather.translators._helm.text import Unread, Words, words_of
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.decoding import decode, position
from pinfeather.translators._syntax.tree import LIMITS, Mark, Reading, Tree, elements, entries, kind
from pinfeather.translators.contract import File

LIST, MAP = "customResources", "customResourcesMap"
_LITERAL = re.compile(r"(?:[&!][^ \t\r\n]*[ \t]+)*\|")
_SEPARATOR = re.compile(r"(?:---|\.\.\.)(?=[ \t]|\Z)")


class Item(NamedTuple):
    """One value below one of the two keys."""

    value: Tree
    mark: Mark
    path: Path = ()


class Place(NamedTuple):
    """Where a literal text begins, and how far it is set in."""

    line: int
    inset: int


class Values(NamedTuple):
    """One file: its documents, its whole text, and what was found about it."""

    text: str
    readings: tuple[Reading, ...]
    found: tuple[Diagnostic, ...]
    flat: frozenset[Span] = frozenset()
    """Where texts stand in which nothing can be told apart: no edit fits inside."""
    expressions: frozenset[str] = frozenset()
    """Every expression, to the letter."""


def read_values(file: File) -> Values:
    """The objects of one values file."""
    text = decode(file.text, file.name, LIMITS.stream_bytes)
    if isinstance(text, Diagnostic):
        return Values("", (), (text,))
    first, *more = yaml.read(text, file.name, yaml.KUBERNETES)
    found = list(first.diagnostics)
    for other in more:
        said = "a values file is one document: Helm does not look at what comes behind it"
        found.append(error(Code.SYNTAX, said, span=other.span(other.mark), instead="put it in a file of its own"))
    if first.broken or (first.value is None and not found):
        return Values(text, (), tuple(found) or (_nothing(first),))
    if not isinstance(first.value, dict):
        said = f"a values file is a mapping, not {kind(first.value)}"
        return Values(text, (), (*found, error(Code.VALUE, said, span=first.span(first.mark))))
    own = {key: Item(value, mark) for key, value, _, mark in entries(first.value, first.mark) if key in (LIST, MAP)}
    found += _scope(first)
    reader = _Reader(first, text.splitlines(), found)
    readings = [each for key in (LIST, MAP) for item in _items(first, key, own.get(key), found) for each in reader.read(item)]
    return Values(text, tuple(readings), tuple(found), frozenset(reader.flat), frozenset(reader.expressions))


def _nothing(reading: Reading) -> Diagnostic:
    return error(Code.EMPTY, "there is nothing in it", span=reading.span(reading.mark), instead=f"write `{LIST}` into it")


def _scope(reading: Reading) -> Iterator[Diagnostic]:
    """What else the file says, once."""
    assert isinstance(reading.value, dict)
    others = [(key, mark) for key, _, mark, _ in entries(reading.value, reading.mark) if key not in (LIST, MAP)]
    if others:
        names = ", ".join(repr(key) for key, _ in others[:8]) + (f" and {len(others) - 8} more" if len(others) > 8 else "")
        counted = f"{len(others)} other value{'s' if len(others) > 1 else ''}"
        yield info(Code.SCOPE, f"not routing, left alone: {counted}: {names}", span=reading.span(others[0][1]))


def _items(reading: Reading, key: str, held: Item | None, found: list[Diagnostic]) -> Iterator[Item]:
    if held is None or held.value is None:
        return
    if key == LIST and isinstance(held.value, list):
        yield from (Item(value, mark, (key, index)) for index, (value, mark) in enumerate(elements(held.value, held.mark)))
    elif key == MAP and isinstance(held.value, dict):
        yield from (Item(value, mark, (key, name)) for name, value, _, mark in entries(held.value, held.mark))
    else:
        wanted = "a list of texts" if key == LIST else "a mapping of names to texts"
        found.append(error(Code.VALUE, f"`{key}` is {wanted}, not {kind(held.value)}", (key,), span=reading.span(held.mark)))


class _Reader:
    """Reads the items of one file."""

    def __init__(self, whole: Reading, lines: list[str], found: list[Diagnostic]) -> None:
        self.whole, self.lines, self.found = whole, lines, found
        self.flat: set[Span] = set()
        self.expressions: set[str] = set()

    def read(self, item: Item) -> Iterator[Reading]:
        """The objects that one item is, or none and why."""
        if item.value is None or (isinstance(item.value, str) and not item.value.strip()):
            return
        if isinstance(item.value, dict):
            yield from self._mapping(item)
        elif not isinstance(item.value, str):
            said = f"an item is a text (`|`) that holds an object, not {kind(item.value)}"
            self.found.append(error(Code.VALUE, said, item.path, span=self.whole.span(item.mark)))
        elif (place := _literal(item.value, item.mark, self.whole.first_line, self.lines)) is None:
            self.flat.add(self.whole.span(item.mark))
            yield from self._flat(item.value, item)
        else:
            for line, part in _documents(item.value):
                yield from self._literal(part, place._replace(line=place.line + line - 1), item)

    def _words(self, text: str, place: Place | None, item: Item) -> Words | None:
        words = words_of(text)
        if isinstance(words, Words):
            self.expressions.update(words.expressions)
            return words
        span = self.whole.span(item.mark)
        said = f"this text is not read, and nothing that it holds: {words.message}"
        if place is not None:
            down, right = position(text, words.offset)
            at = place.line + down - 1
            span = Span(self.whole.file, at, place.inset + right, at, place.inset + right + 2)
            others = [f"`{word}` in line {place.line + position(text, offset)[0] - 1}" for offset, word in words.others]
            said += f"; so do{'es' if len(others) == 1 else ''} {', '.join(others)}" if others else ""
        self.found.append(error(Code.UNSUPPORTED, said, item.path, span=span, instead=words.instead))
        return None

    def _literal(self, part: str, place: Place, item: Item) -> Iterator[Reading]:
        """What one document of a literal text says."""
        words = self._words(part, place, item)
        if words is not None:
            inset = " " * place.inset
            text = "".join(f"{inset}{each}" if each.strip("\r\n") else each for each in words.text.splitlines(keepends=True))
            readings = yaml.read_at(text, self.whole.file, place.line, yaml.KUBERNETES)
            for each in readings:
                yield replace(each, value=words.restored(each.value), text=part if len(readings) == 1 else each.text)

    def _flat(self, text: str, item: Item) -> Iterator[Reading]:
        """What a text says of which only the place is known."""
        words = self._words(text, None, item)
        if words is not None:
            span = self.whole.span(item.mark)
            for each in yaml.read(words.text, self.whole.file, yaml.KUBERNETES):
                said = tuple(one._replace(span=span, fixes=()) for one in each.diagnostics)
                mark = (*item.mark[:4], ())
                yield replace(each, value=words.restored(each.value), place=mark, first_line=self.whole.first_line, diagnostics=said)

    def _mapping(self, item: Item) -> Iterator[Reading]:
        """An object that is written as a mapping: the chart makes a text of it, and fills that in."""
        problems: list[tuple[Unread, Mark]] = []
        value = self._filled(item.value, item.mark, problems)
        if problems:
            problem, mark = problems[0]
            said = f"this object is not read: {problem.message}"
            self.found.append(error(Code.UNSUPPORTED, said, item.path, span=self.whole.span(mark), instead=problem.instead))
            return
        yield Reading(value, item.mark, self.whole.file, (), self.whole.first_line, yaml.emit(item.value))

    def _filled(self, value: Tree, mark: Mark, problems: list[tuple[Unread, Mark]]) -> Tree:
        if isinstance(value, dict):
            made: dict[str, Tree] = {}
            for key, child, key_mark, child_mark in entries(value, mark):
                name = self._filled(key, key_mark, problems)
                assert isinstance(name, str)
                if isinstance(name, Template):
                    problems.append((Unread(0, "a key is filled in", "write the key"), key_mark))
                made[name] = self._filled(child, child_mark, problems)
            return made
        if isinstance(value, list):
            return [self._filled(child, child_mark, problems) for child, child_mark in elements(value, mark)]
        if not isinstance(value, str) or "{{" not in value:
            return value
        words = words_of(f"'{value}'")
        if isinstance(words, Unread):
            problems.append((words, mark))
            return value
        self.expressions.update(words.expressions)
        filled = words.restored(words.text)
        assert isinstance(filled, str)
        return Template(filled[1:-1]) if isinstance(filled, Template) else filled[1:-1]


def _literal(text: str, mark: Mark, first_line: int, lines: list[str]) -> Place | None:
    """The first line of a literal text and how far it is set in; None for a text of another style."""
    head = mark[0] + first_line  # the line below the one with `|`, counted from 0
    if not 0 < head <= len(lines) or _LITERAL.match(lines[head - 1], mark[1]) is None:
        return None
    for offset, line in enumerate(text.splitlines()):
        if line.strip():
            raw = lines[head + offset] if head + offset < len(lines) else ""
            inset = len(raw) - len(line)
            return Place(head + 1, inset) if inset >= 0 and raw == " " * inset + line else None
    return None


def _documents(text: str) -> Iterator[tuple[int, str]]:
    """The documents of one text, each with its first line in it."""
    begin, held = 1, list[str]()
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if _SEPARATOR.match(line.rstrip("\r\n")) is not None:
            if "".join(held).strip():
                yield begin, "".join(held)
            rest = line[3:]
            begin, held = (number, ["   " + rest]) if rest.strip() and not rest.strip().startswith("#") else (number + 1, [])
        else:
            held.append(line)
    if "".join(held).strip():
        yield begin, "".join(held)
