"""Edits of a text that keep to its own way of writing: quotes, escapes and indentation stay as they are."""

from __future__ import annotations

import re

from pinfeather.model.diagnostics import Edit, Span

_INDICATORS = "\"'[]{}&*!|>%@`#,?-: "
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


def lines_of(text: str) -> list[str]:
    """The lines of a text with their ends, counted as spans count them."""
    return _LINES.findall(text)


def on_one_line(lines: list[str], span: Span) -> str | None:
    """What a span covers, if that is a part of one line that is there."""
    if not 0 < span.line == span.end_line <= len(lines):
        return None
    line = lines[span.line - 1]
    return line[span.column - 1 : span.end_column - 1] if 0 < span.column <= span.end_column <= len(line.rstrip("\r\n")) + 1 else None


def inside(lines: list[str], span: Span, old: str, new: str) -> tuple[Edit, ...]:
    """The edit that writes `new` for `old` inside of a scalar of one line; none where `old` is not there once, to the letter.

    `span` is that of the scalar, or of something around it on the same line.
    """
    written = on_one_line(lines, span)
    if written is None or not old:
        return ()
    for style, (quoted_old, quoted_new) in _spellings(old, new).items():
        if written.count(quoted_old) != 1:
            continue
        at = written.index(quoted_old)
        if _style(lines[span.line - 1], span.column - 1 + at) != style:
            continue
        if style == "" and (" #" in new or ": " in new or new[-1:] == ":" or (at == 0 and new[:1] in _INDICATORS)):
            return ()
        begin = span.column + at
        place = Span(span.file, span.line, begin, span.line, begin + len(quoted_old))
        return (Edit(place, quoted_new, quoted_old),)
    return ()


def _spellings(old: str, new: str) -> dict[str, tuple[str, str]]:
    """A text inside of each kind of quotes."""

    def double(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"')

    def single(text: str) -> str:
        return text.replace("'", "''")

    return {"": (old, new), '"': (double(old), double(new)), "'": (single(old), single(new))}


def _style(line: str, at: int) -> str:
    """The quotes that are open at a column: YAML's and TOML's, whose single ones know no backslash."""
    open_quote, index = "", 0
    while index < at:
        character = line[index]
        if open_quote == '"' and character == "\\":
            index += 1
        elif open_quote:
            open_quote = "" if character == open_quote else open_quote
        elif character in "\"'" and (index == 0 or line[index - 1] in " \t[{,:=(-"):
            open_quote = character
        elif character == "#" and (index == 0 or line[index - 1] in " \t"):
            return "#"
        index += 1
    return open_quote
