"""Edits of one label, however it is written: in a list, in a mapping, as an option, on a line of its own."""

from __future__ import annotations

import re

from pinfeather.model.diagnostics import Edit, Span

_LABEL = re.compile(r"""(?P<key>[^\s"'=:]+)(?P<between>["']?[ \t]*[=:][ \t]*["']?)(?P<value>.*?)(?P<end>["']?)""")


def label_edits(text: str, span: Span, old: str, new: str, value: str) -> tuple[Edit, ...]:
    """The edit that gives the label at `span`, whose key ends in `.old`, that value; with another `new`, a label of that
    name is put before it. None where the label stands in several lines, or is written in a way of its own.

    Works on lists and mappings, in block and in flow style, on `--label` and on bare lines.
    """
    lines = text.splitlines()
    if span.line != span.end_line or not 0 < span.line <= len(lines):
        return ()
    line = lines[span.line - 1]
    begin, written = line[: span.column - 1], line[span.column - 1 : span.end_column - 1]
    quote = written[:1] if written[:1] in ("'", '"') else ""
    found = _LABEL.fullmatch(written[len(quote) :])
    if found is None or not found["key"].lower().endswith(f".{old}"):
        return ()
    made = f"{quote}{found['key'][: -len(old)]}{new}{found['between']}{value}{found['end']}"
    if ":" in found["between"] and not found["end"]:
        made = f'{quote}{found["key"][: -len(old)]}{new}{found["between"]}"{value}"'  # compose wants a text
    if old == new:
        return (Edit(span, made),)
    if begin.strip() in ("", "-"):
        return (Edit(Span(span.file, span.line, 1, span.line, 1), f"{begin}{made}\n"),)
    option = re.search(r"(?:--label[ =]|-l[ ]?)$", begin)
    before = Span(span.file, span.line, span.column, span.line, span.column)
    return (Edit(before, f"{made} {option[0]}" if option else f"{made}, "),)
