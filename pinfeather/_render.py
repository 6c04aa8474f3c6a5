"""From diagnostics to words: text for people, JSON for programs, SARIF for code scanning, GitHub's lines for its log.

The only place that joins paths with lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from urllib.parse import quote

from pinfeather.model.codes import MEANINGS
from pinfeather.model.diagnostics import Diagnostic, Edit, Fix, Report, Severity, Span, dotted

SCREEN = 10
"""Findings a screen; the rest is counted."""
WIDTH = 120
"""Characters of a source line that are shown."""

Lines = Mapping[str, Sequence[str]]
"""The lines of each file that was read."""


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
    return plain(f"{where}{finding.severity} {finding.code}: {_said(finding)}")


def _said(finding: Diagnostic) -> str:
    return f"{finding.message}; {finding.instead}" if finding.instead else finding.message


def text(report: Report, *, most: int = SCREEN, lines: Lines | None = None) -> str:
    """The worst findings, each with its source line if `lines` are given, and how many more there are. Empty for an empty report."""
    out = [part for finding in report.diagnostics[:most] for part in (line(finding), *_shown(finding.span, lines or {}))]
    more = len(report.diagnostics) - most
    if more > 0:
        errors = sum(finding.severity is Severity.ERROR for finding in report.diagnostics[most:])
        out.append(f"... and {more} more ({errors} error{'' if errors == 1 else 's'}); --all shows every one")
    return "".join(f"{each}\n" for each in out)


def _shown(span: Span | None, lines: Lines) -> tuple[str, ...]:
    """The source line of a span, and a line of carets under it."""
    held = lines.get(span.file, ()) if span is not None else ()
    if span is None or not 0 < span.line <= len(held):
        return ()
    written = held[span.line - 1].rstrip("\r\n")
    begin = min(span.column - 1, len(written))
    end = min(span.end_column - 1, len(written)) if span.end_line == span.line else len(written)
    left = max(0, begin - WIDTH // 2)
    right = left + WIDTH
    shown = plain(written[left:right].replace("\t", " "))
    margin = f"  {span.line} | "
    carets = "^" * max(1, len(plain(written[begin : min(end, right)].replace("\t", " "))))
    before = " " * len(plain(written[left:begin].replace("\t", " ")))
    return f"{margin}{shown}", f"{' ' * (len(margin) - 2)}| {before}{carets}"


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


# GitHub ----------------------------------------------------------------------------------------------------------------

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def as_github(report: Report) -> str:
    """Every finding as a workflow command (`::warning file=…,line=…::message`), one a line."""
    return "".join(f"{_command(finding)}\n" for finding in report.diagnostics)


def _command(finding: Diagnostic) -> str:
    named: dict[str, object] = {}
    if (span := finding.span) is not None:
        named["file"] = PurePath(span.file).as_posix()
        if span.line:
            named |= {"line": span.line, "endLine": max(span.line, span.end_line), "col": span.column}
            if span.end_line == span.line:
                named["endColumn"] = max(span.column, span.end_column - 1)
    named["title"] = str(finding.code)
    properties = ",".join(f"{key}={_escaped(str(value), inner=True)}" for key, value in named.items())
    return f"::{_LEVELS[finding.severity]} {properties}::{_escaped(_said(finding))}"


def _escaped(value: str, *, inner: bool = False) -> str:
    """As actions/toolkit escapes (packages/core/src/command.ts): of a property `:` and `,` too."""
    pairs = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), *(((":", "%3A"), (",", "%2C")) if inner else ()))
    for raw, safe in pairs:
        value = value.replace(raw, safe)
    return plain(value)


# SARIF -----------------------------------------------------------------------------------------------------------------

_SARIF_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(report: Report, version: str) -> str:
    """Every finding as one SARIF 2.1.0 run, with a rule for each code that was found."""
    codes = list(dict.fromkeys(str(finding.code) for finding in report.diagnostics))
    driver = {"name": "pinfeather", "version": version, "rules": [_rule(code) for code in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, codes.index(str(finding.code))) for finding in report.diagnostics],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _rule(code: str) -> dict[str, object]:
    known = {str(each): texts for each, texts in MEANINGS.items()}
    meaning, remedy = known.get(code, (f"A finding of the kind {code}.", "The message says what to do."))
    return {"id": code, "shortDescription": {"text": meaning}, "help": {"text": remedy}}


def _result(finding: Diagnostic, rule: int) -> dict[str, object]:
    result: dict[str, object] = {
        "ruleId": str(finding.code),
        "ruleIndex": rule,
        "level": _SARIF_LEVELS[finding.severity],
        "message": {"text": plain(_said(finding))},
    }
    if finding.span is not None:
        physical: dict[str, object] = {"artifactLocation": _artifact(finding.span.file)}
        if finding.span.line:
            physical["region"] = _region(finding.span)
        result["locations"] = [{"physicalLocation": physical}]
    if fixes := [_fix(fix) for fix in finding.fixes if fix.edits]:
        result["fixes"] = fixes
    return result


def _artifact(file: str) -> dict[str, str]:
    return {"uri": quote(PurePath(file).as_posix())}


def _region(span: Span) -> dict[str, int]:
    begin = {"startLine": span.line, "startColumn": max(1, span.column)}
    if span.end_line < span.line:
        return begin
    return {**begin, "endLine": span.end_line, "endColumn": max(1, span.end_column)}


def _fix(fix: Fix) -> dict[str, object]:
    files: dict[str, list[Edit]] = {}
    for edit in fix.edits:
        files.setdefault(edit.span.file, []).append(edit)
    changes = [
        {
            "artifactLocation": _artifact(file),
            "replacements": [{"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.text}} for edit in edits],
        }
        for file, edits in files.items()
    ]
    return {"description": {"text": fix.title}, "artifactChanges": changes}
