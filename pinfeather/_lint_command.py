"""`pinfeather lint` on files and standard streams: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import argparse
import difflib
import sys
from importlib.metadata import version
from pathlib import Path

from pinfeather import _render
from pinfeather._files import FileError, write_atomic
from pinfeather._lint import Linted, lint
from pinfeather._sources import UsageError
from pinfeather.model.diagnostics import Report, Severity
from pinfeather.translators._syntax.repair import lines_of


def run(given: argparse.Namespace) -> int:
    """Exit codes: 0 nothing but info, 1 findings, 2 a wrong configuration file."""
    if given.dry_run and not given.fix:
        raise UsageError("--dry-run goes with --fix: it prints what a fix would change")
    if given.dry_run and given.report != "text":
        raise UsageError("--fix --dry-run prints a unified diff: leave --report out")
    found = lint(given.files, fix=given.fix)
    if found.usage:
        sys.stderr.write(_render.text(found.report, most=len(found.report.diagnostics), lines=found.lines))
        return 2
    if given.dry_run:
        return _dry(found)
    _write(found)
    _tell(found, given)
    return 1 if _grave(found.report) else 0


def _tell(found: Linted, given: argparse.Namespace) -> None:
    if given.report == "text":
        for finding in found.fixed:
            sys.stderr.write(f"fixed {_render.line(finding)}\n")
        most = len(found.report.diagnostics) if given.all else _render.SCREEN
        sys.stderr.write(_render.text(found.report, most=most, lines=found.lines))
        sys.stdout.write(f"{_summary(found)}\n")
        return
    machine = {
        "json": lambda: _render.as_json(found.report),
        "sarif": lambda: _render.as_sarif(found.report, version("pinfeather")),
        "github": lambda: _render.as_github(found.report),
    }
    sys.stdout.write(machine[given.report]())


def _summary(found: Linted) -> str:
    routing = sum(found.routing.values())
    kinds = ", ".join(f"{count} {name}" for name, count in sorted(found.routing.items()))
    files = "1 file is" if found.files == 1 else f"{found.files} files are"
    fixed = f"; {len(found.fixed)} fixed in {len(found.after)} file{'' if len(found.after) == 1 else 's'}" if found.fixed else ""
    fixable = sum(any(fix.edits for fix in each.fixes) for each in found.report.diagnostics)
    hint = f"; {fixable} of them can be fixed: --fix" if fixable and not found.fixed else ""
    return f"{routing} of {files} routing{f' ({kinds})' if kinds else ''}{fixed}; {_counted(found.report)}{hint}"


def _counted(report: Report) -> str:
    counts = {name: sum(each.severity == name for each in report.diagnostics) for name in ("error", "warning", "info")}
    return ", ".join(f"{count} {name}{'s' if count != 1 and name != 'info' else ''}" for name, count in counts.items())


def _grave(report: Report) -> bool:
    return any(each.severity is not Severity.INFO for each in report.diagnostics)


def _dry(found: Linted) -> int:
    for name, new in sorted(found.after.items()):
        old_lines, new_lines = (lines_of(data.decode("utf-8")) for data in (found.before[name], new))
        for line in difflib.unified_diff(old_lines, new_lines, f"a/{name}", f"b/{name}"):
            sys.stdout.write(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return 1 if found.after or _grave(found.report) else 0


def _write(found: Linted) -> None:
    """Writes what fixes have changed. A file that somebody else has changed meanwhile is left, and said."""
    for name, new in found.after.items():
        path = Path(name)
        if path.read_bytes() != found.before[name]:
            raise FileError(path, "has changed while it was being looked at; it is left as it is: lint again")
        write_atomic(path, new)
