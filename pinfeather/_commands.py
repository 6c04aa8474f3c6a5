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


def lint(given: argparse.Namespace) -> int:
    from pinfeather._lint_command import run

    return run(given)


def explain(given: argparse.Namespace) -> int:
    from pinfeather._explain_command import run

    return run(given)


def verify(given: argparse.Namespace) -> int:
    from pinfeather.verify.command import run

    return run(given)


def diff(given: argparse.Namespace) -> int:
    from pinfeather.diff.command import run

    return run(given)


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
    "explain": explain,
    "verify": verify,
    "diff": diff,
    "formats": formats,
    "schema": schema,
}
