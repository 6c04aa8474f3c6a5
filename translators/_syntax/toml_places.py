"""Where the keys and values of a TOML file stand (TOML 1.0). It reads structure, not values, and gives up in silence
where the text is no TOML: tomllib then says why.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Sequence

from pinfeather.model.diagnostics import Code, Diagnostic, Span, error
from pinfeather.translators._syntax.tree import NOWHERE, Limits, Mark

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r"[A-Za-z0-9_-]+|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")
_STRING = re.compile(r"\"\"\"(?:[^\\]|\\.)*?\"{3,5}|'''.*?'{3,5}|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'", re.DOTALL)
_WORD = re.compile(r"[^,\]}#\r\n]+")


class Place:
    """A value, or what is known of it so far: tables are named more than once."""

    __slots__ = ("depth", "end", "items", "key_mark", "keys", "said", "start")

    def __init__(self, start: tuple[int, int], depth: int, key_mark: Mark = NOWHERE) -> None:
        self.start = self.end = start
        self.depth = depth
        self.key_mark = key_mark
        self.keys: dict[str, Place] = {}
        self.items: list[Place] = []
        self.said: int | None = None  # the line, from 1, that gave it its value or opened it as a table

    def mark(self, inner: Sequence[Mark]) -> Mark:
        end = max([self.end, *((m[2], m[3]) for m in inner)])
        return (*self.start, *end, inner)


class _LostError(Exception):
    """This is no TOML."""


class _BoundError(Exception):
    """More than the limits allow; the finding is in `args`."""


def places(text: str, file: str, limits: Limits) -> tuple[Place, list[Diagnostic]]:
    """The places of a text, and what is wrong with it that tomllib would not say, or not say as well."""
    scan = _Scan(text, file, limits)
    try:
        scan.run()
    except _LostError:
        pass
    except _BoundError as bound:
        scan.found = [d for d in bound.args if isinstance(d, Diagnostic)]
    return scan.root, scan.found


class _Scan:
    def __init__(self, text: str, file: str, limits: Limits) -> None:
        self.text, self.file, self.limits = text, file, limits
        self.at = 0
        self.starts = [0, *(end.end() for end in re.finditer("\n", text))]
        self.root = Place((0, 0), 0)
        self.found: list[Diagnostic] = []
        self.count = 0

    def run(self) -> None:
        table = self.root
        while self._blank() < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_SPACE)
            if self.text[self.at : self.at + 1] not in ("", "\n", "\r", "#"):
                raise _LostError

    # The text.

    def _blank(self) -> int:
        return self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _LostError
        self.at = found.end()
        return self.at

    def _expect(self, literal: str) -> None:
        self._skip(_SPACE)
        if not self.text.startswith(literal, self.at):
            raise _LostError
        self.at += len(literal)

    def _place(self, index: int) -> tuple[int, int]:
        line = bisect_right(self.starts, index) - 1
        return line, index - self.starts[line]

    def _keys(self) -> list[tuple[str, Mark]]:
        """`a."b c".d`, each part with its mark."""
        parts: list[tuple[str, Mark]] = []
        while True:
            self._skip(_SPACE)
            begin = self.at
            written = self.text[begin : self._skip(_KEY)]
            parts.append((_unquoted(written), (*self._place(begin), *self._place(self.at), ())))
            self._skip(_SPACE)
            if self.text[self.at : self.at + 1] != ".":
                return parts
            self.at += 1

    # Its structure.

    def _header(self) -> Place:
        begin = self.at
        array = self.text.startswith("[[", begin)
        self.at += 2 if array else 1
        parts = self._keys()
        self._expect("]]" if array else "]")
        place = self._descend(self.root, parts)
        if array:
            place.end = self._place(self.at)
            place.items.append(self._new(self._place(begin), place.depth + 1, parts[-1][1]))
            place = place.items[-1]
        else:
            place.start = self._place(begin)
            self._say(place, parts[-1])
        place.end = self._place(self.at)
        return place

    def _pair(self, table: Place) -> None:
        parts = self._keys()
        self._expect("=")
        self._skip(_SPACE)
        place = self._descend(table, parts)
        self._say(place, parts[-1])
        place.start = self._place(self.at)
        self._value(place)
        place.end = self._place(self.at)

    def _descend(self, place: Place, parts: list[tuple[str, Mark]]) -> Place:
        for number, (key, mark) in enumerate(parts):
            if key not in place.keys:
                place.keys[key] = self._new((mark[0], mark[1]), place.depth + 1, mark)
            place = place.keys[key]
            if place.items and number < len(parts) - 1:  # of an array of tables, the last one is meant
                place = place.items[-1]
        return place

    def _say(self, place: Place, part: tuple[str, Mark]) -> None:
        key, mark = part
        line = mark[0] + 1
        if place.said is not None:
            message = f"the key {key!r} stands twice: line {place.said} and line {line}"
            span = Span(self.file, line, mark[1] + 1, mark[2] + 1, mark[3] + 1)
            self.found.append(error(Code.DUPLICATE_KEY, message, instead="keep one", span=span))
            if len(self.found) >= self.limits.findings:
                raise _BoundError(*self.found)
        place.said, place.key_mark = line, mark

    def _new(self, start: tuple[int, int], depth: int, mark: Mark = NOWHERE) -> Place:
        self.count += 1
        span = Span(self.file, start[0] + 1, start[1] + 1)
        if depth > self.limits.depth:
            raise _BoundError(error(Code.TOO_DEEP, f"nested more than {self.limits.depth} deep", span=span))
        if self.count > self.limits.events:
            raise _BoundError(error(Code.TOO_LARGE, f"more than {self.limits.events} keys and values", span=span))
        return Place(start, depth, mark)

    def _value(self, place: Place) -> None:
        first = self.text[self.at : self.at + 1]
        if first == "[":
            self._array(place)
        elif first == "{":
            self._inline(place)
        else:
            self._skip(_STRING if first in ("'", '"') else _WORD)
            while self.text[self.at - 1] in " \t":
                self.at -= 1

    def _array(self, place: Place) -> None:
        self.at += 1
        while self._blank() < len(self.text) and self.text[self.at] != "]":
            item = self._new(self._place(self.at), place.depth + 1)
            self._value(item)
            item.end = self._place(self.at)
            place.items.append(item)
            self._blank()
            if self.text[self.at : self.at + 1] != ",":
                break
            self.at += 1
        self._expect("]")

    def _inline(self, place: Place) -> None:
        self.at += 1
        self._skip(_SPACE)
        while self.text[self.at : self.at + 1] != "}":
            self._pair(place)
            self._skip(_SPACE)
            if self.text[self.at : self.at + 1] != ",":
                break
            self.at += 1
        self._expect("}")


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    if "\\" not in key:
        return key[1:-1]
    try:
        loaded = tomllib.loads(f"key = {key}")["key"]
    except tomllib.TOMLDecodeError:
        raise _LostError from None
    return loaded if isinstance(loaded, str) else key
