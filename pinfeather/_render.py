"""From diagnostics to words: text for people, JSON for programs. The only place that joins paths with lines."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pinfeather.model.diagnostics import Diagnostic, Report, Severity, dotted

SCREEN = 10
"""Findings a screen; the rest is counted."""


def plain(text: str) -> str:
    """Foreign text for a terminal: what is not printable is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in text)


def line(finding: Diagnostic) -> str:
    """One finding: `FILE:LINE:COLUMN: severity code: message. Instead: ...`."""
    where = ""
    if finding.span is not None:
        place = f":{finding.span.line}:{finding.span.column}" if finding.span.line else ""
        where = f"{finding.span.file}{place}: "
    elif finding.path:
        where = f"{dotted(finding.path)}: "
    rest = f"; {finding.instead}" if finding.instead else ""
    return plain(f"{where}{finding.severity} {finding.code}: {finding.message}{rest}")


def text(report: Report, *, most: int = SCREEN) -> str:
    """The worst findings, and how many more there are. Empty for an empty report."""
    lines = [line(finding) for finding in report.diagnostics[:most]]
    more = len(report.diagnostics) - most
    if more > 0:
        errors = sum(finding.severity is Severity.ERROR for finding in report.diagnostics[most:])
        lines.append(f"... and {more} more ({errors} error{'' if errors == 1 else 's'}); --all shows every one")
    return "".join(f"{each}\n" for each in lines)


def as_json(report: Report) -> str:
    """Every finding as a JSON list."""
    return json.dumps([_plain(finding) for finding in report.diagnostics], indent=2, ensure_ascii=False) + "\n"


def _plain(finding: Diagnostic) -> dict[str, object]:
    span = finding.span
    return {
        "code": str(finding.code),
        "severity": str(finding.severity),
        "message": finding.message,
        "instead": finding.instead,
        "path": list(finding.path),
        "file": span.file if span else None,
        "line": span.line if span else None,
        "column": span.column if span else None,
        "fixes": [fix.title for fix in finding.fixes],
    }


def allow_file(findings: Iterable[Diagnostic]) -> str:
    """The allow file that would let these findings pass: one permission a line, with its reason as a comment."""
    entries = sorted({(f"{finding.code}@{dotted(finding.path)}", f"{finding.message}; {finding.instead}") for finding in findings})
    return "".join(f"{permission}  # {plain(reason)}\n" for permission, reason in entries)
