"""The short way through YAML: block lists and mappings with one key or one item a line, as programs write them.

It gives the same values and marks as the events of `yaml_construct.py`, several times faster, or nothing: whatever it does
not know, and whatever there is something to say about, makes it give up. So it has no errors of its own, and every bound
is met by giving up too. The marks are made by a second walk, when somebody asks for them.

A line stands at twice its column, an item one further. So it is inside of what stands at less, a list that is not indented
further than its key included. The root is the value of a key around it, which stands further out than all.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Final, TypeAlias

from pinfeather.translators._syntax.resolvers import NUMERIC, OutOfRangeError, Resolver
from pinfeather.translators._syntax.tree import NOWHERE, Limits, Mark, Reading, Tree

_WORD = r"[A-Za-z0-9_./][A-Za-z0-9_./-]*+"
_LINE = re.compile(rf"""^( *)(- )?(?:({_WORD}|"[^"\\\n]*+"|'[^'\n]*+'):(?: |$))?(.*)$""", re.MULTILINE)
_INDICATORS: Final = frozenset("-?:,[]{}#&*!|>'\"%@` ")  # with these a plain scalar does not begin, or not always
_SPECIAL: Final = _INDICATORS | set(NUMERIC) | {""}  # what begins with another is its text, or a word of the resolver
_ESCAPED = re.compile(r"""(?:[^"\\]|\\["\\])*+""")
_ESCAPE = re.compile(r"\\(.)")
_FLOW_PAIR = re.compile(rf"({_WORD}): ({_WORD})(?:, (?=.)|}}\Z)")
_FLOW_ITEM = re.compile(rf"({_WORD})(?:, (?=.)|\]\Z)")
_OPENING = "---\n"
_LONGEST_KEY = 1000  # the longest that needs no `?` has 1,024 characters
_MANY = 1000  # keys that are remembered from one document to the next
_EVENTS = 6  # the most that one line makes, without its commas: a list, a mapping, a key, a value, two ends


def read_lines(part: str, file: str, line: int, resolver: Resolver, limits: Limits) -> Reading | None:
    """The one document of a text that `decode` has let through, or None where it must be read by its events."""
    if not part.isascii() or "\t" in part or "\r" in part:
        return None
    if _EVENTS * (part.count("\n") + 2) + 2 * part.count(",") > limits.events:
        return None
    scalars = _scalars(resolver, limits)
    try:
        value = _value(part, scalars)
    except (_UnlikeError, OutOfRangeError):
        return None
    finally:
        if len(scalars.names) > _MANY:
            scalars.names.clear()
    return Reading(value, partial(_mark, part), file, (), line, part)


class _UnlikeError(Exception):
    """Something that is not known here."""


def _value(part: str, scalars: _Scalars) -> Tree:  # noqa: C901 - one loop: a call for each line would cost as much again
    names, words, depth = scalars.names, scalars.resolver.words, scalars.limits.depth
    around: list[tuple[int, dict[str, Tree], list[Tree]]] = []
    pairs: dict[str, Tree] = {}
    items: list[Tree] = []
    here, key, waiting = -1, "", True  # waiting: a key has no value yet
    for found in _LINE.finditer(part, len(_OPENING) if part.startswith(_OPENING) else 0):
        spaces, dash, name, rest = found.groups()
        if dash is not None:
            at = 2 * len(spaces) + 1
        elif name is not None:
            at = 2 * len(spaces)
        elif not rest or rest[0] == "#":
            continue
        else:
            raise _UnlikeError
        if at != here or waiting:
            if waiting and at > here:
                if len(around) >= depth:
                    raise _UnlikeError
                around.append((here, pairs, items))
                here = at
                outer = pairs
                if dash is None:
                    outer[key] = pairs = {}
                else:
                    outer[key] = items = []
            while at < here:
                here, pairs, items = around.pop()
            if at != here:
                raise _UnlikeError
            waiting = False
        if dash is not None and name is not None:
            if len(around) >= depth:
                raise _UnlikeError
            around.append((here, pairs, items))
            here += 3  # a mapping, two columns further
            pairs = {}
            items.append(pairs)
        if name is not None:
            key = names.get(name) or scalars.key(name)
            if key in pairs:
                raise _UnlikeError
            if not rest:
                pairs[key], waiting = None, True
                continue
        value: Tree
        if rest[:1] in _SPECIAL:
            value = scalars.special(rest, len(around))
        elif ": " in rest or " #" in rest or rest[-1] in " :":
            raise _UnlikeError
        else:
            value = words.get(rest, rest)
        if name is not None:
            pairs[key] = value
        else:
            items.append(value)
    if not around:
        raise _UnlikeError
    root = around[0][1]
    return root[""]


class _Scalars:
    """What keys and values mean to a resolver."""

    def __init__(self, resolver: Resolver, limits: Limits) -> None:
        self.resolver, self.limits = resolver, limits
        self.names: dict[str, str] = {}  # keys as they are written, and what they are: they come again in every document

    def key(self, name: str) -> str:
        key: Tree = name[1:-1] if name[0] in "\"'" else self._plain(name)
        if not isinstance(key, str) or len(name) > _LONGEST_KEY:
            raise _UnlikeError
        self.names[name] = key
        return key

    def special(self, text: str, depth: int) -> Tree:
        """A scalar that is not simply its text, or a short flow collection."""
        first = text[:1]
        if first == '"' or first == "'":
            return _quoted(text, first)
        if first == "{" or first == "[":
            if depth >= self.limits.depth:
                raise _UnlikeError
            return self._flow_mapping(text) if first == "{" else self._flow_list(text)
        if not first or first in _INDICATORS or ": " in text or " #" in text or text[-1] in " :":
            raise _UnlikeError
        return self._plain(text)

    def _plain(self, text: str) -> Tree:
        return self.resolver(text, self.limits.digits)

    def _flow_mapping(self, text: str) -> Tree:
        """`{a: b, c: d}` with plain words in it."""
        pairs: dict[str, Tree] = {}
        for found in _flow(text):
            key = self.names.get(found[1]) or self.key(found[1])
            if key in pairs:
                raise _UnlikeError
            pairs[key] = self._plain(found[2])
        return pairs

    def _flow_list(self, text: str) -> Tree:
        return [self._plain(found[1]) for found in _flow(text)]


@lru_cache(maxsize=8)
def _scalars(resolver: Resolver, limits: Limits) -> _Scalars:
    return _Scalars(resolver, limits)


def _quoted(text: str, quote: str) -> str:
    body = text[1:-1]
    if len(text) < 2 or text[-1] != quote:
        raise _UnlikeError
    if quote == '"' and "\\" in body:
        if _ESCAPED.fullmatch(body) is None:
            raise _UnlikeError
        return _ESCAPE.sub(r"\1", body)
    if quote in body:
        raise _UnlikeError
    return body


def _flow(text: str) -> list[re.Match[str]]:
    """What is between braces or brackets: pairs or items."""
    if text == "{}" or text == "[]":
        return []
    pattern = _FLOW_PAIR if text[0] == "{" else _FLOW_ITEM
    at, parts = 1, []
    while (found := pattern.match(text, at)) is not None:
        parts.append(found)
        at = found.end()
    if at != len(text) or at == 1:
        raise _UnlikeError
    return parts


# Where it stands -------------------------------------------------------------------------------------------------------

_Around: TypeAlias = "tuple[int, list[Mark], int, Mark | None]"
"""Of what an open list or mapping is in: where it stands, its marks, its first line, the key that the inner one is the value of."""


def _mark(part: str) -> Mark:
    """The mark of the root of a text that `_value` has read: it need not be looked at whether all is well."""
    around: list[_Around] = []
    inner: list[Mark] = []
    here, began = -1, 0
    waiting: Mark | None = NOWHERE  # of a key that has no value yet
    for number, found in enumerate(_LINE.finditer(part)):
        spaces, dash, name, rest = found.groups()
        column = len(spaces)
        if (dash is None and name is None) or (not number and part.startswith(_OPENING)):
            continue
        at = 2 * column + (dash is not None)
        if waiting is not None:
            if at > here:
                around.append((here, inner, began, waiting))
                here, inner, began = at, [], number
            else:
                inner += (waiting, _behind(waiting))
            waiting = None
        while at < here:
            here, inner, began = _closed(around, here, inner, began)
        if dash is not None:
            column += 2
            if name is not None:
                around.append((here, inner, began, None))
                here, inner, began = here + 3, [], number
        if name is not None:
            key_mark: Mark = (number, column, number, column + len(name), ())
            if not rest:
                waiting = key_mark
                continue
            inner.append(key_mark)
            column += len(name) + 2
        inside = _flow_marks(rest, number, column) if rest[0] in "{[" else ()
        inner.append((number, column, number, column + len(rest), inside))
    if waiting is not None:
        inner += (waiting, _behind(waiting))
    while around:
        here, inner, began = _closed(around, here, inner, began)
    return inner[1]


def _closed(around: list[_Around], here: int, inner: list[Mark], began: int) -> tuple[int, list[Mark], int]:
    """What is open when the innermost has ended: it ends where the last of what is in it does."""
    last = inner[-1]
    mark: Mark = (began, here >> 1, last[2], last[3], inner)
    outer, marks, line, key_mark = around.pop()
    if key_mark is not None:
        marks.append(key_mark)
    marks.append(mark)
    return outer, marks, line


def _behind(key_mark: Mark) -> Mark:
    """Of a value that is not there: it is null, and stands behind the colon."""
    line, column = key_mark[2], key_mark[3] + 1
    return (line, column, line, column, ())


def _flow_marks(text: str, line: int, column: int) -> list[Mark]:
    groups = (1, 2) if text[0] == "{" else (1,)
    return [(line, column + found.start(group), line, column + found.end(group), ()) for found in _flow(text) for group in groups]
