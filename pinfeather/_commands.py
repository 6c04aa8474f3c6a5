"""What each command does with files and standard streams. The work itself is in `_convert.py`, `_lint.py` and the formats."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable

from pinfeather import _render
from pinfeather._plugins import every, translator
from pinfeather.model.diagnostics import Report

_COMMENT = re.compile(r"(^|\s)#.*")
MARK = "# Written by `pinfeather convert`, which may write over it."


def _tell(report: Report, given: argparse.Namespace) -> int:
    if given.report == "json":
        sys.stderr.write(_render.as_json(report))
    else:
        sys.stderr.write(_render.text(report, most=len(report.diagnostics) if given.all else _render.SCREEN))
    return 2 if report.errors else 0


def lint(given: argparse.Namespace) -> int:
    from pinfeather._lint import lint as lint_files

    found = lint_files(given.files)
    _tell(found.report, given)
    routing = sum(found.routing.values())
    kinds = ", ".join(f"{count} {name}" for name, count in sorted(found.routing.items()))
    files = "1 file is" if found.files == 1 else f"{found.files} files are"
    print(f"{routing} of {files} routing{f' ({kinds})' if kinds else ''}; {_counted(found.report)}")
    return 1 if found.report.diagnostics and any(each.severity != "info" for each in found.report.diagnostics) else 0


def _counted(report: Report) -> str:
    counts = {name: sum(each.severity == name for each in report.diagnostics) for name in ("error", "warning", "info")}
    return ", ".join(f"{count} {name}{'s' if count != 1 and name != 'info' else ''}" for name, count in counts.items())


def formats(given: argparse.Namespace) -> int:
    from pinfeather._formats import page, table

    if given.name is None:
        found = every()
        sys.stdout.write(table(found))
        sys.stderr.write(_render.text(Report.of(found.diagnostics)))
        return 2 if found.diagnostics else 0
    chosen, unknown = translator(given.name)
    if chosen is None:
        sys.stderr.write(_render.text(Report.of(unknown)))
        return 2
    sys.stdout.write(page(chosen))
    return 0


def schema(given: argparse.Namespace) -> int:  # noqa: ARG001 - every command has the same shape
    from pinfeather._formats import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "lint": lint,
    "formats": formats,
    "schema": schema,
}
