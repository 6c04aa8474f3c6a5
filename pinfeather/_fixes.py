"""Applying fixes: the edits of each all together or not at all, none over another, and nothing but what they cover.

Pure: from text to text. A fix is left where an edit of it overlaps one that is applied, or where its span does not hold what
it expects. Line ends and a byte order mark stay as the file has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pinfeather.model.diagnostics import Diagnostic, Edit, Fix
from pinfeather.translators._syntax.repair import lines_of

_END = re.compile(r"\r\n|\r|\n")


class Applied(NamedTuple):
    """The new text of every file, and the findings whose fixes were applied."""

    texts: dict[str, str]
    findings: tuple[Diagnostic, ...]


class _Place(NamedTuple):
    """An edit by offsets."""

    begin: int
    end: int
    text: str


class _Text:
    """One file: its text, where its lines begin, and the edits that are accepted."""

    def __init__(self, text: str) -> None:
        self.text = text
        lines = lines_of(text)
        self.starts = [0]
        for line in lines:
            self.starts.append(self.starts[-1] + len(line))
        self.widths = [len(line.rstrip("\r\n")) for line in lines] + [0]
        ends = _END.findall(text)
        self.line_end = max(set(ends), key=ends.count) if ends else "\n"
        self.accepted: dict[_Place, None] = {}

    def place(self, edit: Edit) -> _Place | None:
        """Where an edit goes, or None: its span is not in this text, or does not hold what it expects."""
        span = edit.span
        begin, end = self._offset(span.line, span.column), self._offset(span.end_line, span.end_column)
        if begin is None or end is None or begin > end:
            return None
        if edit.expects is not None and self.text[begin:end] != edit.expects:
            return None
        return _Place(begin, end, _END.sub(self.line_end, edit.text))

    def _offset(self, line: int, column: int) -> int | None:
        if not 0 < line <= len(self.starts) or not 0 < column <= self.widths[line - 1] + 1:
            return None
        return self.starts[line - 1] + column - 1

    def free(self, place: _Place) -> bool:
        return place in self.accepted or not any(_overlap(place, other) for other in self.accepted)

    def result(self) -> str:
        text, unended = self.text, bool(self.text) and not self.text.endswith(("\n", "\r"))
        order = {place: number for number, place in enumerate(self.accepted)}
        for place in sorted(self.accepted, key=lambda each: (each.begin, each.end, order[each]), reverse=True):
            new = place.text
            if unended and place.begin == place.end == len(self.text) and new.endswith(self.line_end):
                new = self.line_end + new.removesuffix(self.line_end)  # a line after a last one without an end
            text = text[: place.begin] + new + text[place.end :]
        return text


def _overlap(one: _Place, other: _Place) -> bool:
    """Whether both change one character. Insertions may stand at either end of an edit, and several at one place."""
    return one.begin < other.end and other.begin < one.end


def apply(texts: Mapping[str, str], findings: Sequence[Diagnostic]) -> Applied:
    """Applies the first fix of each finding, in their order, to the texts by file name."""
    files = {name: _Text(text) for name, text in texts.items()}
    done: list[Diagnostic] = []
    for finding in findings:
        fix = next((each for each in finding.fixes if each.edits), None)
        if fix is not None and _accept(fix, files):
            done.append(finding)
    return Applied({name: file.result() for name, file in files.items() if file.accepted}, tuple(done))


def _accept(fix: Fix, files: Mapping[str, _Text]) -> bool:
    placed: list[tuple[_Text, _Place]] = []
    for edit in fix.edits:
        file = files.get(edit.span.file)
        place = None if file is None else file.place(edit)
        if file is None or place is None or not file.free(place):
            return False
        placed.append((file, place))
    own = [(file, place) for file, place in dict.fromkeys(placed)]
    if any(one[0] is other[0] and _overlap(one[1], other[1]) for i, one in enumerate(own) for other in own[:i]):
        return False
    for file, place in placed:
        file.accepted[place] = None
    return True
