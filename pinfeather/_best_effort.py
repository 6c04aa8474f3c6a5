"""`convert --best-effort`: what can be said is written, and each loss stands as a comment where it would have stood.

A loss that protects (a middleware, an address list, a demand for TLS) is never taken alone: its route was left out before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pinfeather._render import plain
from pinfeather.model.diagnostics import Diagnostic, Path, Report, Severity, Span
from pinfeather.model.document import Document
from pinfeather.model.normal import normal
from pinfeather.translators.contract import Emitted, Parsed, Source, TextFile

_COMMENTED = ("yaml", "toml")


def left_out(finding: Diagnostic) -> Diagnostic:
    """A loss as something that was left out, and no longer a reason to refuse."""
    return finding._replace(severity=Severity.WARNING) if finding.allowable and finding.severity is Severity.ERROR else finding


def commented(emitted: Emitted, again: Parsed, document: Document, report: Report, read: Callable[[Source], Parsed]) -> Emitted:
    """The same artifacts as text, with a comment for each loss. Where comments would change what is read, they stand on top."""
    losses = [finding for finding in report.diagnostics if finding.code.startswith(("loss.", "carried.", "near."))]
    files = emitted.files()
    if not losses or not files or again.document is None:
        return emitted
    if not all(file.language in _COMMENTED for file in files):
        return emitted
    wanted = normal(again.document)
    places = [_place(finding, document, again) for finding in losses]
    nowhere: list[Span | None] = [None for _ in places]
    for where in (places, nowhere):
        texts = Emitted(_with_comments(files, losses, where))
        seen = read(texts.source()).document
        if seen is not None and normal(seen) == wanted:
            return texts
    return emitted


def _place(finding: Diagnostic, document: Document, again: Parsed) -> Span | None:
    """Where the thing that a loss is about, or the nearest around it that was written, stands in the output."""
    if len(finding.path) < 2 or again.document is None:
        return None
    section, key = str(finding.path[0]), finding.path[1]
    if isinstance(key, int):
        name = getattr(document, section)[key].name
        names = [route.name for route in getattr(again.document, section)]
        if name not in names:
            return None
        path: Path = (section, names.index(name), *finding.path[2:])
    else:
        path = finding.path
    for length in range(len(path), 1, -1):
        if (span := again.spans.get(path[:length])) is not None:
            return span
    return None


def _with_comments(files: tuple[TextFile, ...], losses: list[Diagnostic], places: list[Span | None]) -> tuple[TextFile, ...]:
    before: dict[tuple[str, int], list[str]] = {}
    for finding, span in zip(losses, places, strict=True):
        key = (files[0].name, 1) if span is None or not span.line else (span.file, span.line)
        before.setdefault(key, []).append(_comment(finding))
    return tuple(file._replace(text=_inserted(file, before)) for file in files)


def _inserted(file: TextFile, before: Mapping[tuple[str, int], list[str]]) -> str:
    lines: list[str] = []
    for number, line in enumerate(file.text.split("\n"), 1):
        indent = line[: len(line) - len(line.lstrip(" "))]
        lines += [f"{indent}{comment}" for comment in before.get((file.name, number), ())]
        lines.append(line)
    return "\n".join(lines)


def _comment(finding: Diagnostic) -> str:
    """One line. Two braces would be an action to Go templates, in a comment too."""
    rest = f"; {finding.instead}" if finding.instead else ""
    return "# " + plain(f"{finding.code}: {finding.message}{rest}").replace("{{", "{ {")
