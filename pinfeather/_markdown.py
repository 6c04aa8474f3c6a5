"""`convert --report markdown`: the whole of a conversion as a page for a review."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pinfeather._convert import Converted
from pinfeather._render import plain
from pinfeather.model.diagnostics import Diagnostic, Report, Severity, dotted

_PARTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Refused, or left out", "What the target cannot say, and what happens instead.", ("loss.",)),
    ("Not carried along", "It decides nothing.", ("carried.",)),
    ("A little different", "The target says it, and behaves a little differently.", ("near.",)),
    ("Not read", "What the source says and nobody read.", ("unread.",)),
    ("Advice", "", ("lint.",)),
    ("Wrong", "", ("input.", "plugin.", "bug.")),
)


def review(report: Report, result: Converted | None, *, files: Sequence[str], target: str) -> str:
    """A heading, a verdict, and a table for each family of findings."""
    lines = [f"# {_cell(', '.join(files))} as {_cell(target)}", "", _verdict(report, result), ""]
    for title, said, families in _PARTS:
        found = [finding for finding in report.diagnostics if finding.code.startswith(families)]
        if found:
            lines += [f"## {title}", "", *((said, "") if said else ()), *_table(found), ""]
    return "\n".join(lines)


def _verdict(report: Report, result: Converted | None) -> str:
    errors = len(report.errors)
    if errors:
        return f"**Refused**: {errors} error{'s' if errors != 1 else ''}. Nothing was written."
    losses = sum(finding.code.startswith("loss.") for finding in report.diagnostics)
    document = None if result is None else result.document
    routes = 0 if document is None else len(document.routes) + len(document.tcp_routes)
    lacks = f"It lacks {losses} thing{'s' if losses != 1 else ''} that the source says."
    behaves = lacks if losses else "It behaves as the source does."
    return f"**Written**: {routes} route{'s' if routes != 1 else ''}. {behaves}"


def _table(found: Iterable[Diagnostic]) -> list[str]:
    lines = ["| where | what | instead |", "|---|---|---|"]
    for finding in found:
        span = finding.span
        where = dotted(finding.path) if span is None else span.file + (f":{span.line}:{span.column}" if span.line else "")
        mark = "" if finding.severity is not Severity.ERROR else "**error** "
        lines.append(f"| {_cell(where)} | {mark}`{finding.code}` {_cell(finding.message)} | {_cell(finding.instead)} |")
    return lines


def _cell(text: str) -> str:
    """Foreign text in a table of Markdown: nothing in it is a border, a link or HTML."""
    shown = plain(text)
    for character in "\\`*_[]<>|":
        shown = shown.replace(character, f"\\{character}")
    return shown
