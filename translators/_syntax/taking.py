"""Reading that takes and does not peek: what a reader asked for is gone, and what is left at the end is a finding.

A reader walks a `Taking` and asks for each key that it knows. Wrong kinds of value are reported at their line while it goes
on; `left` then names every key that nobody asked for, with the nearest of those that were. A null counts as absent, as
in every dialect that is read this way (Kubernetes prunes it, paerser 0.2.2 skips it in file/raw_node.go).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from pinfeather.model.diagnostics import Code, Diagnostic, Edit, Fix, Path, Severity, Span, dotted, error, info, nearest
from pinfeather.model.noun import Template
from pinfeather.translators._syntax import paerser
from pinfeather.translators._syntax.tree import Reading, Spot, Tree, kind


class Manner(NamedTuple):
    """How a dialect reads its keys and scalars. The defaults: to the letter, and every kind as it is written."""

    fold_case: bool = False  # keys of the dialect's own are found in any case (Go's strings.EqualFold); names never are
    go_scalars: bool = False  # any scalar is read as the text that Go sees, see paerser.py
    split_lists: bool = False  # a text stands for a list, split at its commas
    number_durations: bool = False  # a whole number is a length of time too, in seconds (Kubernetes' IntOrString)
    expressions: re.Pattern[str] | None = None  # a text in which this is found is a `Template`, filled in by another program


STRICT = Manner()
TRAEFIK_FILE = Manner(fold_case=True, go_scalars=True)
TRAEFIK_LABELS = Manner(fold_case=True, go_scalars=True, split_lists=True)


class _Book:
    """What all nodes of one document share."""

    __slots__ = ("expressions", "fold_case", "found", "go_scalars", "manner", "reading")

    def __init__(self, reading: Reading, manner: Manner) -> None:
        self.reading = reading
        self.manner = manner
        self.found: list[Diagnostic] = []
        self.fold_case, self.go_scalars, self.expressions = manner.fold_case, manner.go_scalars, manner.expressions


_Findings: TypeAlias = list[Diagnostic]  # inside the class below `list` is the method
_Takings: TypeAlias = "list[Taking]"
_Texts: TypeAlias = list[str]


_NOTHING: Mapping[str, Tree] = MappingProxyType({})


@lru_cache(maxsize=256)  # tables are few
def _lower_case(keys: tuple[str, ...]) -> Mapping[str, str]:
    return {key.lower(): key for key in keys}


class Taking:
    """One value of a document, and what has been taken out of it: nothing is copied. Made by `Taking.of` for the root."""

    __slots__ = ("_asked", "_below", "_book", "_folded", "_pairs", "_taken", "path", "value")

    def __init__(self, book: _Book, value: Tree, path: Path) -> None:
        self.value = value
        """The value as it was read. To look at it takes nothing."""
        self.path = path
        self._book = book
        self._pairs: Mapping[str, Tree] = value if isinstance(value, dict) else _NOTHING
        self._asked: list[str | Mapping[str, None]] = []  # keys, and whole tables of keys
        self._taken: set[str] = set()  # keys as they are written here
        self._folded: dict[str, list[str]] | None = None  # keys by their lower case, made when one is not found as it is asked for
        self._below: _Takings | tuple[()] = ()

    @classmethod
    def of(cls, reading: Reading, manner: Manner = STRICT) -> Taking:
        """The root of a document. One that is no mapping is reported, and then has no keys."""
        root = cls(_Book(reading, manner), reading.value, ())
        if not isinstance(reading.value, dict) and not reading.broken:
            root._wrong(reading.value, "a mapping")
        return root

    # Where it stands.

    @property
    def span(self) -> Span:
        return self._book.reading.span_at(self.path)

    @property
    def key_span(self) -> Span:
        """Of an entry of a mapping its key; else the value."""
        return self._book.reading.key_span_at(self.path)

    @property
    def spot(self) -> Spot:
        """`span`, to be written down."""
        return (self._book.reading, self.path, False)

    @property
    def key_spot(self) -> Spot:
        return (self._book.reading, self.path, True)

    def span_of(self, key: str, *below: str | int) -> Span:
        """Where the value of a key stands, or what is below it, taken or not; of an absent key, where this mapping stands."""
        return self._book.reading.span_at(self._way(key, below))

    def spot_of(self, key: str, *below: str | int) -> Spot:
        """The same, to be written down: it costs nothing until it is asked for."""
        if key in self._pairs:
            return (self._book.reading, (*self.path, key, *below), False)
        return (self._book.reading, self._way(key, below), False)

    def key_span_of(self, key: str, *below: str | int) -> Span:
        """The same for a key itself, or for the key at the end of the way below it."""
        return self._book.reading.key_span_at(self._way(key, below))

    def _way(self, key: str, below: tuple[str | int, ...]) -> Path:
        if isinstance(self.value, dict):
            if key in self.value:
                return (*self.path, key, *below)
            if self._book.fold_case and (names := self._spellings(key)):
                return (*self.path, names[0], *below)
        return self.path

    # What is in it.

    def map(self, key: str, *, may_be_true: bool = False) -> Taking | None:
        """The mapping under a key. `may_be_true`: true stands for an empty one, false for none (paerser's allowEmpty)."""
        name = self._take(key)
        if name is None:
            return None
        value = self._pairs[name]
        if may_be_true and (truth := paerser.parse_bool(paerser.scalar_text(value) or "")) is not None:
            return self._child({}, name) if truth else None
        if not isinstance(value, dict):
            self._wrong(value, "a mapping", name)
            return None
        return self._child(value, name)

    def items(self, key: str) -> Iterator[tuple[str, Taking]]:
        """The entries of the mapping under a key: names to mappings (`routers`, `services`)."""
        node = self.map(key)
        return iter(()) if node is None else node.entries()

    def entries(self) -> Iterator[tuple[str, Taking]]:
        """Every entry that is left, by its written name. An entry that is no mapping is reported and left out."""
        for key in self._left():
            self._asked.append(key)
            self._taken.add(key)
            value = self._pairs[key]
            if isinstance(value, dict):
                yield key, self._child(value, key)
            elif value is not None:
                self._wrong(value, "a mapping", key)

    def list(self, key: str) -> _Takings:
        """The mappings in the list under a key. An element that is none is reported and left out."""
        name = self._take(key)
        if name is None:
            return []
        found: _Takings = []
        for index, item in enumerate(self._elements(name)):
            if isinstance(item, dict):
                found.append(self._child(item, name, index))
            else:
                self._wrong(item, "a mapping", name, index)
        return found

    def text(self, key: str) -> str | None:
        name = self._take(key)
        return None if name is None else self._text(self._pairs[name], name)

    def text_list(self, key: str) -> _Texts:
        """A list of texts; absent, and empty, is `[]`."""
        name = self._take(key)
        if name is None:
            return []
        value = self._pairs[name]
        if isinstance(value, str) and self._book.manner.split_lists:
            return [self._template(part) for part in paerser.split_list(value)]
        texts = [self._text(item, name, index) for index, item in enumerate(self._elements(name))]
        return [text for text in texts if text is not None]

    def text_map(self, key: str) -> dict[str, str]:
        """A mapping of names to texts (headers, labels); absent, and empty, is `{}`."""
        name = self._take(key)
        if name is None:
            return {}
        value = self._pairs[name]
        if not isinstance(value, dict):
            self._wrong(value, "a mapping", name)
            return {}
        texts = {each: self._text(child, name, each) for each, child in value.items() if child is not None}
        return {each: text for each, text in texts.items() if text is not None}

    def integer(self, key: str, low: int | None = None, high: int | None = None) -> int | None:
        """A whole number, within its bounds if they are given. Where a template may stand, ask `number`."""
        name = self._take(key)
        return None if name is None else self._integer(name, low, high)

    def number(self, key: str, low: int | None = None, high: int | None = None) -> int | Template | None:
        """The same, or a template."""
        name = self._take(key)
        if name is None:
            return None
        value = self._pairs[name]
        if isinstance(value, str) and isinstance(text := self._template(value), Template):
            return text
        return self._integer(name, low, high)

    def boolean(self, key: str) -> bool | None:
        name = self._take(key)
        if name is None:
            return None
        value = self._pairs[name]
        truth = value if isinstance(value, bool) else None
        if self._book.go_scalars:
            truth = paerser.parse_bool(paerser.scalar_text(value) or "")
        if truth is None:
            self._wrong(value, "true or false", name)
        return truth

    def duration(self, key: str) -> str | None:
        """A length of time in the model's spelling (`5s`). A bare number is seconds, as in paerser."""
        name = self._take(key)
        if name is None:
            return None
        value = self._pairs[name]
        manner = self._book.manner
        number = manner.number_durations and isinstance(value, int) and not isinstance(value, bool)
        text = paerser.scalar_text(value) if manner.go_scalars or number or isinstance(value, str) else None
        length = None if text is None else paerser.parse_duration(text)
        if length is None:
            self._wrong(value, "a duration, such as 500ms, 5s or 1m", name)
        return length

    def tree(self, key: str) -> Tree:
        """Everything below a key, taken as it is."""
        name = self._take(key)
        return None if name is None else self._pairs[name]

    def present(self, keys: Mapping[str, None]) -> Collection[str]:
        """Those of the keys (that differ by more than case) that are here and not taken yet. All of them count as asked for."""
        self._asked.append(keys)
        left = self._pairs.keys() - self._taken
        here = left & keys.keys()
        if self._book.fold_case and len(here) < len(left):
            lower_case = _lower_case(tuple(keys))
            here.update(lower_case[low] for name in left - here if (low := name.lower()) in lower_case)
        return here

    def forget(self) -> None:
        """Takes everything that is left, of something that another finding already speaks of as a whole."""
        self._pairs, self._taken = _NOTHING, set()

    # What is said about it.

    def error(self, code: str, message: str, key: str | None = None, *, instead: str = "") -> None:
        """Reports an error at the value of a key, or at this value."""
        path, span = (self.path, self.span) if key is None else ((*self.path, key), self.span_of(key))
        self.report(error(code, message, path, instead=instead, span=span))

    def report(self, diagnostic: Diagnostic) -> None:
        self._book.found.append(diagnostic)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What has been reported so far in the whole document, what its reading found first."""
        return (*self._book.reading.diagnostics, *self._book.found)

    def known(self, *keys: str, why: str = "the model has no place for it") -> None:
        """Keys of the dialect that are not in the model: an error where one of them is present."""
        for key in keys:
            name = self._take(key)
            if name is not None:
                said = f"{name!r} is known, but not read: {why}"
                self.report(error(Code.UNSUPPORTED, said, (*self.path, name), span=self.key_span_of(key)))

    def out_of_scope(self, *keys: str) -> None:
        """Keys that are none of a format's business, named once and left alone. Without keys: all that are left."""
        present = [name for key in keys or self._left() if (name := self._take(key)) is not None]
        if present:
            names = ", ".join(map(repr, present))
            self.report(info(Code.SCOPE, f"not routing, left alone: {names}", self.path, span=self.key_span_of(present[0])))

    def left(self) -> _Findings:
        """What nobody took, here and below: one error for each key, with the nearest key that was asked for."""
        found = [] if len(self._taken) == len(self._pairs) else [self._unknown(key) for key in self._left()]
        for child in self._below:
            found += child.left()
        return found

    def finish(self) -> tuple[Diagnostic, ...]:
        """For the root: what its reading found, what was reported, and what is left of it."""
        return (*self.diagnostics, *self.left())

    # How it is done.

    def _take(self, key: str) -> str | None:
        """Takes what is under a key: the key as it is written, or None where nothing is left there, or a null."""
        pairs, taken = self._pairs, self._taken
        self._asked.append(key)
        if key in pairs and key not in taken:
            taken.add(key)
            return None if pairs[key] is None else key
        if not pairs or not self._book.fold_case:
            return None
        for name in self._spellings(key):
            if name not in taken:
                taken.add(name)
                return None if pairs[name] is None else name
        return None

    def _left(self) -> _Texts:
        """The keys that nobody has taken yet."""
        return [key for key in self._pairs if key not in self._taken]

    def _spellings(self, key: str) -> Sequence[str]:
        """The keys here that are this one but for their case."""
        if self._folded is None:
            self._folded = {}
            for name in self.value if isinstance(self.value, dict) else ():
                self._folded.setdefault(name.lower(), []).append(name)
        return self._folded.get(key.lower(), ())

    def _child(self, value: Tree, *steps: str | int) -> Taking:
        child = Taking(self._book, value, self.path + steps)
        if self._below:
            self._below.append(child)
        else:
            self._below = [child]
        return child

    def _elements(self, name: str) -> Sequence[Tree]:
        """Those of the list under a key."""
        value = self._pairs[name]
        if isinstance(value, list):
            return value
        self._wrong(value, "a list", name)
        return ()

    def _text(self, value: Tree, *steps: str | int) -> str | None:
        book = self._book
        if isinstance(value, str):
            return value if book.expressions is None else self._template(value)
        text = paerser.scalar_text(value) if book.go_scalars else None
        if text is None:
            self._wrong(value, "a text", *steps)
            return None
        return self._template(text)

    def _integer(self, name: str, low: int | None, high: int | None) -> int | None:
        value = self._pairs[name]
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
        if self._book.go_scalars:
            number = paerser.parse_int(paerser.scalar_text(value) or "")
        if number is None:
            self._wrong(value, "a whole number", name)
        elif (low is not None and number < low) or (high is not None and number > high):
            bounds = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
            self._say(Code.VALUE, f"{name} is {number}: it is {bounds}", (name,))
            return None
        return number

    def _template(self, text: str) -> str:
        expressions = self._book.expressions
        return text if expressions is None or expressions.search(text) is None else Template(text)

    def _wrong(self, value: Tree, wanted: str, *steps: str | int) -> None:
        path = (*self.path, *steps)
        shown = f" ({value!r})" if isinstance(value, str) and len(value) <= 60 else ""
        subject = repr(dotted(path)) if path else "the document"
        remedy = "put it in quotes" if wanted == "a text" and not isinstance(value, dict | list | None) else ""
        if isinstance(value, str) and (value.lstrip("-").isdigit() or value in ("true", "false")):
            remedy = "take the quotes away"
        self._say(Code.VALUE, f"{subject} is {wanted}, not {kind(value)}{shown}", steps, remedy)

    def _say(self, code: Code, message: str, steps: tuple[str | int, ...], instead: str = "") -> None:
        path = (*self.path, *steps)
        self.report(error(code, message, path, instead=instead, span=self._book.reading.span_at(path)))

    def _unknown(self, key: str) -> Diagnostic:
        path = (*self.path, key)
        span = self._book.reading.key_span_at(path)
        asked = dict.fromkeys(name for each in self._asked for name in ((each,) if isinstance(each, str) else each))
        twin = next((name for name in asked if name.lower() == key.lower()), None)
        if self._book.fold_case and twin is not None:
            message = f"the key {key!r} stands twice here: case does not count"
            return error(Code.DUPLICATE_KEY, message, path, instead="keep one", span=span)
        meant = nearest(key, asked)
        if meant is None:
            return error(Code.UNKNOWN, f"unknown key {key!r}", path, span=span)
        fix = Fix(f"write {meant}", (Edit(span, meant),))
        message = f'unknown key {key!r}: did you mean "{meant}"?'
        return Diagnostic(Code.UNKNOWN, Severity.ERROR, message, path, span=span, fixes=(fix,))
