"""`pinfeather diff` on files, folders and revisions: what it reads, what it prints, and how it ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pinfeather import _render
from pinfeather._reading import Loaded, load_source
from pinfeather._sources import UsageError, source
from pinfeather.diff import render
from pinfeather.diff.report import difference
from pinfeather.diff.sides import Side
from pinfeather.model.diagnostics import Code, Report, Severity
from pinfeather.model.table import UndecidedError
from pinfeather.translators.contract import Identity, Source


def run(given: argparse.Namespace) -> int:
    """Exit codes: 0 the same happens to every request, 1 not so, or not proved of a regex, 2 input that cannot be read, or of which a part
    cannot and the rest does the same. Raises FileError and UsageError."""
    called, sources = _sources(given)
    names = _render.plain(called[0]), _render.plain(called[1])
    sides: list[Side] = []
    for name, inputs in zip(names, sources, strict=True):
        side = _side(name, inputs, given)
        if side is None:
            return 2
        sides.append(side)
    before, after = sides
    if given.replay is not None:
        from pinfeather.diff.replay_command import replayed

        code = replayed(given, before, after, names)
        return 2 if code == 0 and (before.unread or after.unread) else code
    found = difference(before, after)
    if given.report == "json":
        sys.stdout.write(render.as_json(found, names))
    elif given.report == "markdown":
        sys.stdout.write(render.markdown(found, names, every=given.all))
    else:
        sys.stdout.write(render.text(found, names, every=given.all))
    if not found.equal:
        return 1
    return 2 if found.unread else 1 if found.unproved else 0


def _sources(given: argparse.Namespace) -> tuple[tuple[str, str], tuple[Source, Source]]:
    first, *rest = given.sides
    if ".." in first and not Path(first).exists():
        from pinfeather.diff.revisions import sources

        return sources(first, rest)
    if len(given.sides) != 2:
        raise UsageError("say two sides: pinfeather diff BEFORE AFTER, or pinfeather diff REVISION..REVISION -- PATH")
    if given.sides == ["-", "-"]:
        raise UsageError("standard input can be one side only")
    before, after = given.sides
    return (before, after), (source([before]), source([after]))


def _side(name: str, inputs: Source, given: argparse.Namespace) -> Side | None:
    """None: it cannot be read, and that was said."""
    loaded = load_source(inputs, given, _names(inputs))
    report = Report.of(loaded.parsed.diagnostics)
    document = loaded.parsed.document
    broken = document is None or any(each.severity is Severity.ERROR for each in report.diagnostics)
    if broken:
        sys.stderr.write(
            _render.text(Report.of([each for each in report.diagnostics if document is None or each.severity is Severity.ERROR]))
        )
    if document is None:
        return None
    try:
        unread = [each for each in report.diagnostics if each.severity is Severity.ERROR]
        said = [_render.line(each) for each in unread]
        if not document.routes and not document.tcp_routes:  # what is there may all be another's: an Ingress of another class
            scope = [_render.line(each) for each in report.diagnostics if each.code == Code.SCOPE]
            said += [f"{name}: there is no route in it", *scope]
        return Side(document, loaded.parsed.spans, _identity(loaded), tuple(said))
    except UndecidedError as problem:
        raise UsageError(f"{name}: {problem}, or say it with --bind") from None


def _names(inputs: Source) -> Sequence[str]:
    return [each.name for each in inputs.files]


def _identity(loaded: Loaded) -> Identity | None:
    """The cookie values of the target, where one format alone was read, and it knows them."""
    if len(loaded.formats) != 1 or loaded.written is None or loaded.parsed.document is None:
        return None
    translator, options = loaded.formats[0]
    found = Identity(translator.identity(loaded.written, options).variants, translator.identity(loaded.parsed.document, options).servers)
    return found if found.variants or found.servers else None
