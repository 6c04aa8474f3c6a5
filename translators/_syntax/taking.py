"""Reading that takes and does not peek: what a reader asked for is gone, and what is left at the end is a finding.

A reader walks a `Taking` and asks for each key that it knows. Wrong kinds of value are reported at their line while it goes
on; `left` then names every key that nobody asked for, with the nearest of those that were. A null counts as absent, as
in every dialect that is read this way (Kubernetes prunes it, paerser 0.2.2 skips it in file/raw_node.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

from pinfeather.model.diagnostics import Code, Diagnostic, Edit, Fix, Path, Severity, Span, dotted, error, info, nearest
from pinfeather.model.noun import Template
from pinfeather.translators._syntax import paerser
from pinfeather.translators._syntax.tree import Mark, Reading, Spot, Tree, elements, entries, kind


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


class _Book(NamedTuple):
    """What all nodes of one document share."""

    reading: Reading
    manner: Manner
    found: list[Diagnostic]


_Findings: TypeAlias = list[Diagnostic]  # inside the class below `list` is the method
_Takings: TypeAlias = "list[Taking]"
_Texts: TypeAlias = list[str]


class Taking:
    """One value of a document, and what has been taken out of it. Made by `Taking.of` for the root."""

    def __init__(self, book: _Book, value: Tree, mark: Mark, key_mark: Mark, path: Path) -> None:
        self.value = value
        """The value as it was read. To look at it takes nothing."""
        self.path = path
        self._book = book
        self._mark = mark
        self._key_mark = key_mark
        self._below: list[Taking] = []
        self._asked: dict[str, None] = {}
        self._left: dict[str, tuple[Tree, Mark, Mark]] = {}
        self._seen: dict[str, tuple[Mark, Mark]] = {}
        if isinstance(value, dict):
            self._left = {key: (child, km, m) for key, child, km, m in entries(value, mark)}
            self._seen = {key: (km, m) for key, (_, km, m) in self._left.items()}

    @classmethod
    def of(cls, reading: Reading, manner: Manner = STRICT) -> Taking:
        """The root of a document. One that is no mapping is reported, and then has no keys."""
        root = cls(_Book(reading, manner, []), reading.value, reading.mark, reading.mark, ())
        if not isinstance(reading.value, dict) and not reading.broken:
            root._wrong(reading.value, "a mapping", (), reading.mark)
        return root

    # Where it stands.

    @property
    def span(self) -> Span:
        return self._book.reading.span(self._mark)

    @property
    def key_span(self) -> Span:
        """Of an entry of a mapping its key; else the value."""
        return self._book.reading.span(self._key_mark)

    def spot_of(self, key: str, *below: str | int) -> Spot:
        """The same as `span_of`, to be written down: it costs less, and becomes a span when asked for."""
        return self.span_of(key, *below)

    @property
    def spot(self) -> Spot:
        return self._book.reading.spot(self._mark)

    def span_of(self, key: str, *below: str | int) -> Span:
        """Where the value of a key stands, or what is below it, taken or not; of an absent key, where this mapping stands."""
        name = self._find(key, self._seen) or key
        spot = self._seen.get(name)
        if spot is None:
            return self.span
        whole = self._book.reading.span(spot[1])
        return self._book.reading.spans.get((*self.path, name, *below), whole) if below else whole

    def key_span_of(self, key: str, *below: str | int) -> Span:
        """The same for a key itself, or for the key at the end of the way below it."""
        name = self._find(key, self._seen) or key
        spot = self._seen.get(name)
        own = self.key_span if spot is None else self._book.reading.span(spot[0])
        return self._book.reading.key_spans.get((*self.path, name, *below), own) if below else own

    # What is in it.

    def map(self, key: str, *, may_be_true: bool = False) -> Taking | None:
        """The mapping under a key. `may_be_true`: true stands for an empty one, false for none (paerser's allowEmpty)."""
        spot = self._take(key)
        if spot is None:
            return None
        value, mark, name = spot
        if may_be_true and (truth := paerser.parse_bool(paerser.scalar_text(value) or "")) is not None:
            return self._child({}, mark, self._seen[name][0], name) if truth else None
        if not isinstance(value, dict):
            self._wrong(value, "a mapping", (name,), mark)
            return None
        return self._child(value, mark, self._seen[name][0], name)

    def items(self, key: str) -> Iterator[tuple[str, Taking]]:
        """The entries of the mapping under a key: names to mappings (`routers`, `services`)."""
        node = self.map(key)
        return iter(()) if node is None else node.entries()

    def entries(self) -> Iterator[tuple[str, Taking]]:
        """Every entry that is left, by its written name. An entry that is no mapping is reported and left out."""
        for key in list(self._left):
            self._asked[key] = None
            value, key_mark, mark = self._left.pop(key)
            if isinstance(value, dict):
                yield key, self._child(value, mark, key_mark, key)
            elif value is not None:
                self._wrong(value, "a mapping", (key,), mark)

    def list(self, key: str) -> _Takings:
        """The mappings in the list under a key. An element that is none is reported and left out."""
        spot = self._take(key)
        if spot is None:
            return []
        found: _Takings = []
        for index, item, mark in self._elements(*spot):
            if isinstance(item, dict):
                found.append(self._child(item, mark, mark, spot[2], index))
            else:
                self._wrong(item, "a mapping", (spot[2], index), mark)
        return found

    def text(self, key: str) -> str | None:
        spot = self._take(key)
        return None if spot is None else self._text(*spot)

    def text_list(self, key: str) -> _Texts:
        """A list of texts; absent, and empty, is `[]`."""
        spot = self._take(key)
        if spot is None:
            return []
        if isinstance(spot[0], str) and self._book.manner.split_lists:
            return [self._template(part) for part in paerser.split_list(spot[0])]
        texts = [self._text(item, mark, spot[2], index) for index, item, mark in self._elements(*spot)]
        return [text for text in texts if text is not None]

    def text_map(self, key: str) -> dict[str, str]:
        """A mapping of names to texts (headers, labels); absent, and empty, is `{}`."""
        spot = self._take(key)
        if spot is None:
            return {}
        value, mark, name = spot
        if not isinstance(value, dict):
            self._wrong(value, "a mapping", (name,), mark)
            return {}
        texts = {k: self._text(v, m, name, k) for k, v, _, m in entries(value, mark) if v is not None}
        return {k: text for k, text in texts.items() if text is not None}

    def integer(self, key: str, low: int | None = None, high: int | None = None) -> int | None:
        """A whole number, within its bounds if they are given. Where a template may stand, ask `number`."""
        spot = self._take(key)
        if spot is None:
            return None
        value, mark, name = spot
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
        if self._book.manner.go_scalars:
            number = paerser.parse_int(paerser.scalar_text(value) or "")
        if number is None:
            self._wrong(value, "a whole number", (name,), mark)
        elif (low is not None and number < low) or (high is not None and number > high):
            bounds = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
            self._say(Code.VALUE, f"{name} is {number}: it is {bounds}", (name,), mark)
            return None
        return number

    def number(self, key: str, low: int | None = None, high: int | None = None) -> int | Template | None:
        """The same, or a template."""
        name = self._find(key, self._left)
        value = None if name is None else self._left[name][0]
        if isinstance(value, str) and isinstance(text := self._template(value), Template):
            self._take(key)
            return text
        return self.integer(key, low, high)

    def boolean(self, key: str) -> bool | None:
        spot = self._take(key)
        if spot is None:
            return None
        value, mark, name = spot
        truth = value if isinstance(value, bool) else None
        if self._book.manner.go_scalars:
            truth = paerser.parse_bool(paerser.scalar_text(value) or "")
        if truth is None:
            self._wrong(value, "true or false", (name,), mark)
        return truth

    def duration(self, key: str) -> str | None:
        """A length of time in the model's spelling (`5s`). A bare number is seconds, as in paerser."""
        spot = self._take(key)
        if spot is None:
            return None
        value, mark, name = spot
        manner = self._book.manner
        number = manner.number_durations and isinstance(value, int) and not isinstance(value, bool)
        text = paerser.scalar_text(value) if manner.go_scalars or number or isinstance(value, str) else None
        length = None if text is None else paerser.parse_duration(text)
        if length is None:
            self._wrong(value, "a duration, such as 500ms, 5s or 1m", (name,), mark)
        return length

    def tree(self, key: str) -> Tree:
        """Everything below a key, taken as it is."""
        spot = self._take(key)
        return None if spot is None else spot[0]

    def present(self, keys: Mapping[str, None]) -> _Texts:
        """Those of the keys that are here and not taken yet, in their order. All of them count as asked for."""
        self._asked.update(keys)
        if not self._left:
            return []
        if not self._book.manner.fold_case:
            return [key for key in keys if key in self._left]
        folded = {name.lower() for name in self._left}
        return [key for key in keys if key.lower() in folded]

    def forget(self) -> None:
        """Takes everything that is left, of something that another finding already speaks of as a whole."""
        self._left.clear()

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
            spot = self._take(key)
            if spot is not None:
                path = (*self.path, spot[2])
                span = self.key_span_of(key)
                self.report(error(Code.UNSUPPORTED, f"{spot[2]!r} is known, but not read: {why}", path, span=span))

    def out_of_scope(self, *keys: str) -> None:
        """Keys that are none of a format's business, named once and left alone. Without keys: all that are left."""
        present = [spot[2] for key in keys or tuple(self._left) if (spot := self._take(key)) is not None]
        if present:
            names = ", ".join(map(repr, present))
            self.report(info(Code.SCOPE, f"not routing, left alone: {names}", self.path, span=self.key_span_of(present[0])))

    def left(self) -> _Findings:
        """What nobody took, here and below: one error for each key, with the nearest key that was asked for."""
        own = [self._unknown(key, mark) for key, (_, mark, _) in self._left.items()]
        return own + [finding for child in self._below for finding in child.left()]

    def finish(self) -> tuple[Diagnostic, ...]:
        """For the root: what its reading found, what was reported, and what is left of it."""
        return (*self.diagnostics, *self.left())

    # How it is done.

    def _find(self, key: str, among: Mapping[str, object]) -> str | None:
        """A key as it is written here."""
        if key in among:
            return key
        if not self._book.manner.fold_case:
            return None
        return next((name for name in among if name.lower() == key.lower()), None)

    def _take(self, key: str) -> tuple[Tree, Mark, str] | None:
        """The value under a key, its mark, and the key as it is written."""
        self._asked[key] = None
        name = self._find(key, self._left)
        if name is None:
            return None
        value, _, mark = self._left.pop(name)
        return None if value is None else (value, mark, name)

    def _child(self, value: Tree, mark: Mark, key_mark: Mark, *steps: str | int) -> Taking:
        child = Taking(self._book, value, mark, key_mark, (*self.path, *steps))
        self._below.append(child)
        return child

    def _elements(self, value: Tree, mark: Mark, name: str) -> Iterator[tuple[int, Tree, Mark]]:
        """Index, value and mark of each element of a list."""
        if isinstance(value, list):
            yield from ((index, item, at) for index, (item, at) in enumerate(elements(value, mark)))
        else:
            self._wrong(value, "a list", (name,), mark)

    def _text(self, value: Tree, mark: Mark, *steps: str | int) -> str | None:
        text = value if isinstance(value, str) else None
        if self._book.manner.go_scalars:
            text = paerser.scalar_text(value)
        if text is None:
            self._wrong(value, "a text", steps, mark)
            return None
        return self._template(text)

    def _template(self, text: str) -> str:
        expressions = self._book.manner.expressions
        return text if expressions is None or expressions.search(text) is None else Template(text)

    def _wrong(self, value: Tree, wanted: str, steps: tuple[str | int, ...], mark: Mark) -> None:
        path = (*self.path, *steps)
        shown = f" ({value!r})" if isinstance(value, str) and len(value) <= 60 else ""
        subject = repr(dotted(path)) if path else "the document"
        remedy = "put it in quotes" if wanted == "a text" and not isinstance(value, dict | list | None) else ""
        if isinstance(value, str) and (value.lstrip("-").isdigit() or value in ("true", "false")):
            remedy = "take the quotes away"
        self._say(Code.VALUE, f"{subject} is {wanted}, not {kind(value)}{shown}", steps, mark, remedy)

    def _say(self, code: Code, message: str, steps: tuple[str | int, ...], mark: Mark, instead: str = "") -> None:
        self.report(error(code, message, (*self.path, *steps), instead=instead, span=self._book.reading.span(mark)))

    def _unknown(self, key: str, mark: Mark) -> Diagnostic:
        path, span = (*self.path, key), self._book.reading.span(mark)
        twin = next((name for name in self._asked if name.lower() == key.lower()), None)
        if self._book.manner.fold_case and twin is not None:
            message = f"the key {key!r} stands twice here: case does not count"
            return error(Code.DUPLICATE_KEY, message, path, instead="keep one", span=span)
        meant = nearest(key, self._asked)
        if meant is None:
            return error(Code.UNKNOWN, f"unknown key {key!r}", path, span=span)
        fix = Fix(f"write {meant}", (Edit(span, meant),))
        message = f'unknown key {key!r}: did you mean "{meant}"?'
        return Diagnostic(Code.UNKNOWN, Severity.ERROR, message, path, span=span, fixes=(fix,))
