"""YAML events to values and marks, within bounds. `yaml.py` is the door; nothing else imports this."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, NoReturn, Protocol, cast

import yaml as pyyaml

from pinfeather.model.diagnostics import Code, Diagnostic, Path, Span, error
from pinfeather.translators._syntax.resolvers import OutOfRangeError, Resolver
from pinfeather.translators._syntax.tree import NOWHERE, Limits, Mark, Reading, Tree, entries, kind


class _Mark(Protocol):
    line: int
    column: int
    index: int


class _Event(Protocol):
    """What PyYAML's events carry; no event carries all of it."""

    start_mark: _Mark
    end_mark: _Mark
    anchor: str | None
    tag: str | None
    value: str
    implicit: tuple[bool, bool]
    flow_style: bool | None


class _Parser(Protocol):
    def get_event(self) -> _Event | None: ...


def _parser() -> Callable[[str], _Parser]:
    try:
        from yaml._yaml import CParser
    except ImportError:  # PyYAML was built without libyaml: the same events, slower
        return cast("Callable[[str], _Parser]", pyyaml.SafeLoader)
    return cast("Callable[[str], _Parser]", CParser)


_parse = _parser()


def documents(part: str, file: str, line: int, resolver: Resolver, limits: Limits) -> list[Reading]:
    """The documents of a text, of which the first line is line `line` of its file. Mostly one."""
    builder = _Builder(part, file, line, resolver, limits)
    try:
        builder.run()
    except _StopError:
        return builder.readings(broken=True)
    except pyyaml.YAMLError as fault:
        builder.found.append(_syntax_error(fault, part, file, line))
        return builder.readings(broken=True)
    return builder.readings(broken=False)


class _StopError(Exception):
    """A bound was passed, and said: no more events of this part are looked at."""


_KEYLESS: Final = 0
_SKIP: Final = 1
_MERGE: Final = 2
_Key = str | Literal[0, 1, 2]


class _Open:
    """A list or mapping whose end has not come yet."""

    __slots__ = ("anchor", "flow", "height", "inner", "items", "key", "key_mark", "merges", "pairs", "size", "start")

    def __init__(self, items: list[Tree] | None, pairs: dict[str, Tree], event: _Event) -> None:
        self.items = items  # None: a mapping
        self.pairs = pairs
        self.inner: list[Mark] = []
        self.start = event.start_mark
        self.flow = event.flow_style
        self.anchor: str | None = event.anchor
        self.key: _Key = _KEYLESS
        self.key_mark = NOWHERE
        self.merges: list[tuple[Tree, Mark]] = []
        self.size = 1  # nodes, aliases written out
        self.height = 1


_TEXT = "tag:yaml.org,2002:str"
_SCALAR_TAGS: Mapping[str, tuple[type, ...]] = {
    "tag:yaml.org,2002:null": (type(None),),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (float, int),
}


class _Builder:
    """Events to values. One method for each kind of event, found by a table; recursion nowhere."""

    def __init__(self, part: str, file: str, line: int, resolver: Resolver, limits: Limits) -> None:
        self.part, self.file, self.line, self.resolver, self.limits = part, file, line, resolver, limits
        self.done: list[tuple[Tree, Mark, tuple[Diagnostic, ...], int]] = []
        self.found: list[Diagnostic] = []
        self.escapes = "\\" in part
        self.first = resolver.first
        self.merged = 0
        self._reset()

    def _reset(self) -> None:
        self.stack: list[_Open] = []
        self.top: _Open | None = None
        self.root: Tree = None
        self.root_mark = NOWHERE
        self.anchors: dict[str, tuple[Tree, Mark, int, int] | None] = {}
        self.aliases = self.alias_nodes = 0
        self.found = []

    def run(self) -> None:
        parser = _parse(self.part)
        get = parser.get_event
        handlers: dict[type, Callable[[_Event], None]] = {
            pyyaml.ScalarEvent: self._scalar,
            pyyaml.AliasEvent: self._alias,
            pyyaml.MappingStartEvent: self._mapping,
            pyyaml.MappingEndEvent: self._end,
            pyyaml.SequenceStartEvent: self._list,
            pyyaml.SequenceEndEvent: self._end,
            pyyaml.StreamStartEvent: _pass,
            pyyaml.DocumentStartEvent: _pass,
            pyyaml.DocumentEndEvent: self._document_end,
        }
        for _ in range(self.limits.events):
            event = get()
            sort: type = type(event)
            if event is None or sort is pyyaml.StreamEndEvent:
                break
            handlers[sort](event)
        else:
            self._stop(Code.TOO_LARGE, f"more than {self.limits.events} keys and values", NOWHERE)

    def readings(self, *, broken: bool) -> list[Reading]:
        """The documents so far. With `broken`, the last is one that was given up: it has findings and no value."""
        if broken:
            self.done.append((None, NOWHERE, tuple(self.found), len(self.part)))
        last = len(self.done) - 1
        found: list[Reading] = []
        begin = 0
        for number, (value, mark, findings, end) in enumerate(self.done):
            text = self.part[begin:] if number == last else self.part[begin:end]
            found.append(Reading(value, mark, self.file, findings, self.line, text))
            begin = end
        return found

    def _document_end(self, event: _Event) -> None:
        self.done.append((self.root, self.root_mark, tuple(self.found), event.end_mark.index))
        self._reset()

    # What stands where a value can stand.

    def _scalar(self, event: _Event) -> None:
        start, end = event.start_mark, event.end_mark
        mark: Mark = (start.line, start.column, end.line, end.column, ())
        text = event.value
        value: Tree = text
        plain = event.implicit[0]
        if event.tag is not None:
            value = self._tagged(text, event.tag, mark)
            plain = False
        elif plain:
            if text[:1] in self.first:
                value = self._plain(text, mark)
        elif self.escapes and not text.isprintable() and _SURROGATE.search(text):
            self._report(Code.ENCODING, "half of a surrogate pair is no character", mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, mark, 1, 0)
        top = self.top
        if top is None:
            self.root, self.root_mark = value, mark
        elif top.items is not None:
            top.items.append(value)
            top.inner.append(mark)
        elif top.key is not _KEYLESS:
            self._take_value(top, value, mark)
        elif value.__class__ is str and value not in top.pairs and text != "<<":  # most keys
            top.key, top.key_mark = text, mark
        else:
            self._take_key(top, value, text, mark, plain)

    def _mapping(self, event: _Event) -> None:
        self._collection(event, None, "tag:yaml.org,2002:map")

    def _list(self, event: _Event) -> None:
        self._collection(event, [], "tag:yaml.org,2002:seq")

    def _collection(self, event: _Event, items: list[Tree] | None, own_tag: str) -> None:
        start = event.start_mark
        mark: Mark = (start.line, start.column, start.line, start.column + 1, ())
        if len(self.stack) >= self.limits.depth:
            self._stop(Code.TOO_DEEP, f"nested more than {self.limits.depth} deep", mark)
        if event.tag is not None and event.tag not in ("!", own_tag):
            self._unknown_tag(event.tag, mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.top = _Open(items, {}, event)
        self.stack.append(self.top)

    def _end(self, event: _Event) -> None:
        done = self.stack.pop()
        inner, start = done.inner, done.start
        if done.flow:
            end_line, end_column = event.end_mark.line, event.end_mark.column
        elif inner:  # the end event of a block collection stands at the next token, which may be far below
            end_line, end_column = inner[-1][2:4]
        else:
            end_line, end_column = start.line, start.column
        mark: Mark = (start.line, start.column, end_line, end_column, inner)
        if done.merges:
            self._merge(done)
        value: Tree = done.pairs if done.items is None else done.items
        size = done.size + len(inner)
        if done.anchor is not None:
            self.anchors[done.anchor] = (value, mark, size, done.height)
        self.top = self.stack[-1] if self.stack else None
        self._place(value, mark, size, done.height)

    def _alias(self, event: _Event) -> None:
        start, end = event.start_mark, event.end_mark
        mark: Mark = (start.line, start.column, end.line, end.column, ())
        name = event.anchor or ""
        target = self.anchors.get(name)
        if target is None:
            self._stop(*_ALIAS_FAULTS[name in self.anchors], mark)
        value, place, size, height = target
        self.aliases += 1
        self.alias_nodes += size
        if self.aliases > self.limits.aliases:
            self._stop(Code.ALIASES, f"more than {self.limits.aliases} aliases", mark)
        if self.alias_nodes > self.limits.alias_nodes:
            self._stop(Code.ALIASES, f"its aliases stand for more than {self.limits.alias_nodes} values", mark)
        if len(self.stack) + height > self.limits.depth:
            self._stop(Code.TOO_DEEP, f"nested more than {self.limits.depth} deep, aliases written out", mark)
        self._place(value, (*mark[:4], place[4]), size, height)

    # Where it goes.

    def _place(self, value: Tree, mark: Mark, size: int, height: int) -> None:
        top = self.top
        if top is None:
            self.root, self.root_mark = value, mark
            return
        top.size += size - 1
        top.height = max(top.height, height + 1)
        if top.items is not None:
            top.items.append(value)
            top.inner.append(mark)
        elif top.key is _KEYLESS:
            self._take_key(top, value, value if isinstance(value, str) else "", mark, False)
        else:
            self._take_value(top, value, mark)

    def _take_key(self, top: _Open, value: Tree, text: str, mark: Mark, plain: bool) -> None:
        top.key_mark = mark
        if plain and value == "<<":
            self._take_merge_key(top, mark)
        elif not isinstance(value, str):
            top.key = _SKIP
            remedy = f'put it in quotes: "{text}"' if text else "write a text as the key"
            self._report(Code.KEY, f"a key is a text, not {kind(value)}{f' ({text})' if text else ''}", mark, remedy)
        elif value in top.pairs:
            top.key = _SKIP
            before = top.inner[2 * list(top.pairs).index(value)]
            first, again = before[0] + self.line, mark[0] + self.line
            self._report(Code.DUPLICATE_KEY, f"the key {value!r} stands twice: line {first} and line {again}", mark, "keep one")
        else:
            top.key = value

    def _take_merge_key(self, top: _Open, mark: Mark) -> None:
        top.key = _MERGE
        if not self.resolver.merge:
            top.key = _SKIP
            self._report(Code.KEY, "merge keys (<<) do not exist here", mark, "write the merged keys out")
        elif top.merges:
            top.key = _SKIP
            self._report(Code.DUPLICATE_KEY, "the key '<<' stands twice", mark, "give one << a list")

    def _take_value(self, top: _Open, value: Tree, mark: Mark) -> None:
        key = top.key
        top.key = _KEYLESS
        if isinstance(key, str):
            top.pairs[key] = value
            top.inner += (top.key_mark, mark)
        elif key == _MERGE:
            top.merges.append((value, mark))

    def _merge(self, done: _Open) -> None:
        """What stands in the mapping itself wins, then the earlier source (yaml.v3 3.0.1, decode.go, merge)."""
        for value, mark in done.merges:
            inner = mark[4] if isinstance(value, list) else (mark,)
            for source, place in zip(value if isinstance(value, list) else [value], inner, strict=True):
                if not isinstance(source, dict):
                    self._report(Code.KEY, f"<< takes mappings, not {kind(source)}", place)
                    continue
                self.merged += len(source)
                if self.merged > self.limits.merged_pairs:
                    self._stop(Code.ALIASES, f"its merge keys copy more than {self.limits.merged_pairs} pairs", mark)
                for key, child, key_mark, child_mark in entries(source, place):
                    if key not in done.pairs:
                        done.pairs[key] = child
                        done.inner += (key_mark, child_mark)

    # What a scalar means.

    def _plain(self, text: str, mark: Mark) -> Tree:
        try:
            return self.resolver(text, self.limits.digits)
        except OutOfRangeError as fault:
            self._report(Code.VALUE, str(fault), mark, "put it in quotes if it is a text")
            return text

    def _tagged(self, text: str, tag: str, mark: Mark) -> Tree:
        if tag in ("!", _TEXT):
            return text
        if tag not in _SCALAR_TAGS:
            self._unknown_tag(tag, mark)
            return text
        value = self._plain(text, mark)
        if not isinstance(value, _SCALAR_TAGS[tag]) or (isinstance(value, bool) and bool not in _SCALAR_TAGS[tag]):
            self._report(Code.TAG, f"{text!r} is not what its tag !!{tag.rpartition(':')[2]} says", mark, "remove the tag")
        elif tag.endswith(":float"):
            return float(cast("int | float", value))
        return value

    def _unknown_tag(self, tag: str, mark: Mark) -> None:
        shown = tag.replace("tag:yaml.org,2002:", "!!", 1)
        self._report(Code.TAG, f"the tag {shown!r} is not known here", mark, "remove the tag")

    # What is said about it.

    def _report(self, code: Code, message: str, mark: Mark, instead: str = "") -> None:
        line, column, end_line, end_column, _ = mark
        span = Span(self.file, line + self.line, column + 1, end_line + self.line, end_column + 1)
        path = () if code == Code.TOO_DEEP else self._path()
        self.found.append(error(code, message, path, instead=instead, span=span))
        if len(self.found) >= self.limits.findings:
            raise _StopError

    def _stop(self, code: Code, message: str, mark: Mark) -> NoReturn:
        self._report(code, message, mark)
        raise _StopError

    def _path(self) -> Path:
        """The path of what is being read; of a key, the path of its mapping."""
        steps = (o.key if isinstance(o.key, str) else "<<" if o.items is None else len(o.items) for o in self.stack)
        path = tuple(steps)
        top = self.top
        return path[:-1] if top is not None and top.items is None and top.key in (_KEYLESS, _SKIP) else path


_SURROGATE = re.compile("[\ud800-\udfff]")
_ALIAS_FAULTS = {
    False: (Code.SYNTAX, "this alias has no anchor before it"),
    True: (Code.ALIASES, "this alias stands inside what it stands for"),
}
_REMEDIES = {"\t": "indent with spaces, not with a tab", "`": "put the value in quotes", "@": "put the value in quotes",
             "%": "put the value in quotes"}  # fmt: skip


def _pass(event: _Event) -> None:
    """An event that says nothing about values."""


def _syntax_error(fault: pyyaml.YAMLError, part: str, file: str, line: int) -> Diagnostic:
    if not isinstance(fault, pyyaml.MarkedYAMLError):
        return error(Code.SYNTAX, str(fault).partition("\n")[0], span=Span(file, line, 1))
    message = fault.problem or "this is no YAML"
    if fault.context and fault.context_mark is not None and "next token" not in fault.context:
        message += f" ({fault.context}, which begins in line {fault.context_mark.line + line})"
    mark = fault.problem_mark or fault.context_mark
    if mark is None:
        return error(Code.SYNTAX, message, span=Span(file, line, 1))
    at = part[mark.index : mark.index + 1]
    span = Span(file, mark.line + line, mark.column + 1, mark.line + line, mark.column + 2)
    return error(Code.SYNTAX, message, instead=_REMEDIES.get(at, ""), span=span)
