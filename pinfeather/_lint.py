"""`pinfeather lint`: over files and folders, what is routing, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pinfeather._convert import read, recognised
from pinfeather._files import FileError
from pinfeather._plugins import every
from pinfeather._sources import SUFFIXES, below, file
from pinfeather.model.diagnostics import Code, Diagnostic, Report, Span, error, span_at
from pinfeather.model.lint import lint as lint_document
from pinfeather.translators.contract import Source


@dataclass(frozen=True, slots=True)
class Linted:
    """How many files were looked at, how many are routing, by format, and what was found."""

    files: int
    routing: dict[str, int]
    report: Report


def lint(names: Sequence[str]) -> Linted:
    """Looks at each file by itself. A folder is walked; a file in no known format is counted only, unless it was named."""
    plugins = every()
    found: list[Diagnostic] = list(plugins.diagnostics)
    routing: dict[str, int] = {}
    looked = 0
    for name in names:
        path = Path(name)
        named = not path.is_dir()
        for each in (path,) if named else below(path):
            looked += 1
            if not named and each.suffix not in SUFFIXES:
                continue
            try:
                one = file(each)
            except FileError as problem:
                if named:
                    raise
                found.append(error(Code.FILE, problem.message, span=Span(str(each))))
                continue
            candidates = recognised(one, plugins.translators.values())
            if not candidates:
                if named:
                    said = "this is in no format that is known here"
                    found.append(error(Code.FORMAT, said, span=Span(one.name), instead="`pinfeather formats` lists them"))
                continue
            translator = plugins.translators[candidates[0]]
            routing[translator.name] = routing.get(translator.name, 0) + 1
            parsed = read(Source((one,)), translator, translator.options())
            found += parsed.diagnostics
            if parsed.document is not None:
                found += [finding.at(span_at(parsed.spans, finding.path)) for finding in lint_document(parsed.document)]
    return Linted(looked, routing, Report.of(found))
