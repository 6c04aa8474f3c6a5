"""YAML, both ways: `read` and `read_stream` here, `emit` and `emit_all` from `yaml_emit.py`.

Our own constructor over PyYAML's events (libyaml's where PyYAML has it). PyYAML gives neither a depth bound (libyaml
needs 25 s for 200 KB of `[`, and crashes when it builds them), nor an alias budget, nor an error for a key that stands
twice: all three live in the event loop below, which stops pulling events at the first bound that is passed.

A stream is cut at each `---` at the start of a line before it is parsed, since that is never content: the limits count
for one document, and a broken document hides none of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pinfeather.model.diagnostics import Code, Diagnostic, Span, error
from pinfeather.translators._syntax.decoding import decode, lines_in, too_large
from pinfeather.translators._syntax.resolvers import CORE, GO_YAML_V3, KUBERNETES, Resolver
from pinfeather.translators._syntax.tree import LIMITS, NOWHERE, Limits, Reading, Tree
from pinfeather.translators._syntax.yaml_construct import documents
from pinfeather.translators._syntax.yaml_emit import emit, emit_all
from pinfeather.translators._syntax.yaml_lines import read_lines

__all__ = [
    "CORE", "GO_YAML_V3", "KUBERNETES", "LIMITS", "Limits", "Reading", "Resolver", "Tree", "emit", "emit_all", "read",
    "read_at", "read_stream",
]  # fmt: skip


_SEPARATOR = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_IDLE = re.compile(r"(?:[ \t\r]*(?:#[^\n]*)?\n|%[^\n]*\n)*")  # blank lines, comments, directives
_NOTHING = re.compile(r"(?:[ \t\r]*(?:#[^\n]*)?\n|%[^\n]*\n|(?:---|\.\.\.)[ \t\r]*(?:#[^\n]*)?\n)*")


def read(text: str | bytes, file: str, resolver: Resolver, limits: Limits = LIMITS) -> list[Reading]:
    """Every document of a stream, each with its own findings; at least one reading. Never raises for bad input.

    An empty document in a stream is a reading of None: some programs skip it, others (Traefik) read the first one only.
    """
    return list(read_stream(text, file, resolver, limits))


def read_stream(text: str | bytes, file: str, resolver: Resolver, limits: Limits = LIMITS) -> Iterator[Reading]:
    """As `read`, one document at a time: the memory of those that the caller drops is free again."""
    decoded = decode(text, file, limits.stream_bytes)
    if isinstance(decoded, Diagnostic):
        yield Reading(None, NOWHERE, file, (decoded,))
        return
    if _NOTHING.fullmatch(decoded + "\n"):
        nothing = error(Code.EMPTY, "there is nothing in it", span=Span(file, 1, 1), instead="write a document into it")
        yield Reading(None, NOWHERE, file, (nothing,), text=decoded)
        return
    count = 0
    for part, line in _parts(decoded):
        for reading in _limited(part, file, line, resolver, limits):
            count += 1
            if count > limits.documents:
                many = error(Code.TOO_LARGE, f"more than {limits.documents} documents", span=reading.span(NOWHERE))
                yield Reading(None, NOWHERE, file, (many,), reading.first_line)
                return
            yield reading


def read_at(text: str, file: str, line: int, resolver: Resolver, limits: Limits = LIMITS) -> list[Reading]:
    """Of one document that is a part of a decoded file: `text` begins with the file's line `line`, its columns are the file's."""
    return _limited(text, file, line, resolver, limits)


def _parts(text: str) -> Iterator[tuple[str, int]]:
    """The stream cut at its separators, each part with its first line. Directives go with the document they open."""
    begin, line = 0, 1
    for found in _SEPARATOR.finditer(text):
        cut = found.start()
        ended = text.rfind("\n...", begin, cut)
        opening = text.find("\n", ended + 1, cut) + 1 if ended >= 0 else 0
        if opening and _IDLE.fullmatch(text, opening, cut):
            cut = opening
        if _IDLE.fullmatch(text, begin, cut):
            continue
        part = text[begin:cut]
        yield part, line
        begin, line = cut, line + lines_in(part)
    yield text[begin:], line


def _limited(part: str, file: str, line: int, resolver: Resolver, limits: Limits) -> list[Reading]:
    if len(part) > limits.document_bytes or (not part.isascii() and len(part.encode("utf-8")) > limits.document_bytes):
        large = too_large(limits.document_bytes, Span(file, line, 1))
        return [Reading(None, NOWHERE, file, (large,), line, part)]
    short = read_lines(part, file, line, resolver, limits)
    return documents(part, file, line, resolver, limits) if short is None else [short]
