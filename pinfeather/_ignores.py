"""Inline ignores: a comment `# pinfeather: ignore CODE: reason`, on the line of a finding or on a line of its own above it.

Several codes are parted by commas; `lint.*` stands for a family. Without a reason it ignores nothing and is a finding itself;
one that matches nothing is a finding too, so that none outlives what it was written for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pinfeather.model.diagnostics import ALLOWABLE, Code, Diagnostic, Edit, Fix, Severity, Span, warning

_COMMENT = re.compile(
    r"(?:^|(?<=\s))#[ \t]*pinfeather:[ \t]*ignore\b[ \t]*(?P<codes>[\w.*-]+(?:[ \t]*,[ \t]*[\w.*-]+)*)?[ \t]*:?[ \t]*(?P<reason>.*?)[ \t]*$"
)
IGNORABLE = tuple(family for family in ALLOWABLE if family != "loss.")
"""Families that may be ignored: what cannot be read may not."""


class Ignore(NamedTuple):
    """One comment: the line that it speaks of, its codes, and whether it says why."""

    span: Span
    about: int
    codes: tuple[str, ...]
    reason: str
    alone: bool
    """Whether nothing else stands on its line."""

    def covers(self, finding: Diagnostic) -> bool:
        return (
            finding.span is not None
            and (finding.span.file, finding.span.line) == (self.span.file, self.about)
            and any(matches(code, finding.code) for code in self.codes)
        )


def matches(pattern: str, code: str) -> bool:
    """Whether a code is meant by one of ours, which may end in `.*`."""
    return code.startswith(IGNORABLE) and (code == pattern or (pattern.endswith(".*") and code.startswith(pattern[:-1])))


def ignores_in(lines: Sequence[str], file: str) -> list[Ignore]:
    found: list[Ignore] = []
    for number, line in enumerate(lines, 1):
        if "pinfeather:" not in line or (comment := _comment(line.rstrip("\r\n"))) is None:
            continue
        alone = not line[: comment.start()].strip()
        about = number if not alone else _next(lines, number)
        codes = tuple(code for part in (comment["codes"] or "").split(",") if (code := part.strip()))
        span = Span(file, number, comment.start() + 1, number, comment.end() + 1)
        found.append(Ignore(span, about, codes, comment["reason"], alone))
    return found


def _comment(line: str) -> re.Match[str] | None:
    """The comment of ours that a line ends with; a text in quotes is none."""
    found = _COMMENT.search(line)
    if found is None:
        return None
    before = line[: found.start()]
    return None if before.count('"') % 2 or before.count("'") % 2 else found


def _next(lines: Sequence[str], number: int) -> int:
    """The next line that is neither empty nor a comment."""
    for place in range(number, len(lines)):
        text = lines[place].strip()
        if text and not text.startswith("#"):
            return place + 1
    return number


def ignored(findings: Iterable[Diagnostic], lines: Mapping[str, Sequence[str]]) -> list[Diagnostic]:
    """The findings that no comment ignores, and what is wrong with the comments."""
    comments = [each for name, text in lines.items() for each in ignores_in(text, name)]
    if not comments:
        return list(findings)
    used: set[Ignore] = set()
    kept: list[Diagnostic] = []
    for finding in findings:
        covering = [each for each in comments if each.reason and each.covers(finding)]
        used.update(covering)
        if not covering:
            kept.append(finding)
    for each in comments:
        if not each.codes or not each.reason:
            said = "this ignores nothing: it says no reason" if each.codes else "this ignores nothing: it names no code"
            hint = "write `# pinfeather: ignore CODE: reason`"
            kept.append(warning(Code.IGNORE_REASON, said, span=each.span, instead=hint))
        elif each not in used:
            said = f"nothing on line {each.about} is a finding of {', '.join(each.codes)}"
            kept.append(_unused(each, said, lines[each.span.file]))
    return kept


def _unused(each: Ignore, said: str, lines: Sequence[str]) -> Diagnostic:
    line = lines[each.span.line - 1]
    if each.alone:
        gone = Span(each.span.file, each.span.line, 1, each.span.line + 1, 1)
        edit = Edit(gone, "", line) if line.endswith(("\n", "\r")) else Edit(each.span, "")
    else:
        kept = line[: each.span.column - 1].rstrip(" \t")
        edit = Edit(each.span._replace(column=len(kept) + 1), "", line.rstrip("\r\n")[len(kept) :])
    return Diagnostic(Code.IGNORE_UNUSED, Severity.INFO, said, (), "remove it", each.span, (Fix("remove the ignore", (edit,)),))
