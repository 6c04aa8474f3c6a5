"""From one format to another: parse, project, emit, read back. Pure: reading and writing files is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from pinfeather.model.diagnostics import Allowed, Code, Diagnostic, Path, Report, Severity, Span, error, nearest, span_at
from pinfeather.model.document import Document
from pinfeather.model.features import Feature
from pinfeather.model.normal import normal
from pinfeather.model.project import project
from pinfeather.translators.contract import NOTHING, AnyTranslator, Artifact, File, Options, Parsed, Source

Stage = Callable[[str], None]
"""Told the name of each stage as it begins, for whoever shows progress."""


class Converted(NamedTuple):
    """The artifacts (empty where the conversion is refused), the document that they say, and everything there is to say."""

    artifacts: tuple[Artifact, ...]
    document: Document | None
    report: Report
    spans: Mapping[Path, Span] = NOTHING
    templates: tuple[str, ...] = ()
    """The flags that would bind the templates of a document that was refused for them."""

    @property
    def refused(self) -> bool:
        return bool(self.report.errors)

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a refused loss, 2 input that cannot be read, 3 our bug."""
        codes = [finding.code for finding in self.report.errors]
        if any(code.startswith("bug.") for code in codes):
            return 3
        if any(not finding.allowable for finding in self.report.errors) or (codes and self.document is None):
            return 2
        return 1 if codes else 0


def options_for(translator: AnyTranslator, given: Mapping[str, object]) -> tuple[Options | None, tuple[Diagnostic, ...]]:
    """The options of a format from what a user said, by field name."""
    try:
        made = translator.options.model_validate(dict(given))
    except ValidationError as problem:
        found = []
        for detail in problem.errors(include_url=False):
            name = str(detail["loc"][0]) if detail["loc"] else ""
            guess = nearest(name, translator.options.model_fields)
            known = ", ".join(translator.options.model_fields) or "none"
            hint = f"did you mean {guess!r}?" if guess and guess != name else f"its options: {known}"
            found.append(error(Code.OPTION, f"the format {translator.name!r} and its option {name!r}: {detail['msg']}", instead=hint))
        return None, tuple(found)
    assert isinstance(made, Options)
    return made, ()


def read(source: Source, translator: AnyTranslator, options: Options) -> Parsed:
    """What a format reads. A translator that raises is a bug, its own or ours, and is said so with its name."""
    try:
        parsed: Parsed = translator.parse(source, options)
    except Exception as problem:  # noqa: BLE001 - a reader must not raise, whatever the input
        return Parsed(None, (_raised(translator, "reading", problem),))
    spanned = tuple(finding.at(span_at(parsed.spans, finding.path)) for finding in parsed.diagnostics)
    if parsed.document is None and not any(finding.severity is Severity.ERROR for finding in spanned):
        spanned = (*spanned, error(Code.BUG, f"the format {translator.name!r} read nothing and did not say why"))
    return parsed._replace(diagnostics=spanned)


def _raised(translator: AnyTranslator, doing: str, problem: Exception) -> Diagnostic:
    from pinfeather.translators.builtin import MODULES

    code = Code.BUG if translator.name in MODULES else Code.PLUGIN_RAISED
    said = f"the format {translator.name!r} raised {type(problem).__name__} while {doing}: {problem}"
    return error(code, said, instead="please report it, with the input")


def convert(
    source: Source,
    reader: AnyTranslator,
    writer: AnyTranslator,
    *,
    read_options: Options | None = None,
    write_options: Options | None = None,
    allowed: Iterable[Allowed] = (),
) -> Converted:
    """Reads `source` and writes it in another format. Strict: an error that is not allowed leaves no artifact."""
    parsed = read(source, reader, read_options or reader.options())
    return converted(parsed, writer, write_options or writer.options(), allowed=allowed)


def converted(
    parsed: Parsed,
    writer: AnyTranslator,
    options: Options,
    *,
    allowed: Iterable[Allowed] = (),
    best_effort: bool = False,
    stage: Stage = lambda _name: None,
) -> Converted:
    """Writes what was read. `best_effort`: what cannot be said is left out, each loss a comment where it would have stood.

    Best effort never takes a middleware, an address list or a demand for TLS from a route: the route goes as a whole.
    """
    rules = tuple(allowed)
    if parsed.document is None:
        # No permission makes a document of it, so none is taken.
        return Converted((), None, Report.of(parsed.diagnostics), parsed.spans)
    lenient = (*rules, *map(Allowed, ("loss.*", "unread.*"))) if best_effort else rules
    written = write(parsed.document, writer, options, allowed=rules, best_effort=best_effort, stage=stage)
    found = (*parsed.diagnostics, *(finding.at(span_at(parsed.spans, finding.path)) for finding in written.report.diagnostics))
    report = Report.of(found).allowing(lenient)
    templates: tuple[str, ...] = ()
    if any(finding.code == f"loss.{Feature.TEMPLATE}" for finding in report.errors):
        from pinfeather.model.bind import expressions

        templates = tuple(each.flag for each in expressions(parsed.document))
    return Converted(() if report.errors else written.artifacts, written.document, report, parsed.spans, templates)


def write(
    document: Document,
    writer: AnyTranslator,
    options: Options,
    *,
    allowed: Iterable[Allowed] = (),
    best_effort: bool = False,
    stage: Stage = lambda _name: None,
) -> Converted:
    """Writes a document, and believes the text only when it reads back as the same."""
    rules = tuple(allowed)
    stage("looking for what the target cannot say")
    try:
        projection = project(document, writer.supports(options), rules)
    except Exception as problem:  # noqa: BLE001 - the table holds functions of the format's own
        return Converted((), document, Report.of((_raised(writer, "saying what it supports", problem),)))
    stage("writing")
    try:
        emitted = writer.emit(projection.kept, options)
    except Exception as problem:  # noqa: BLE001 - what it was given it must be able to say
        return Converted((), document, Report.of((*projection.diagnostics, _raised(writer, "writing", problem))))
    stage("reading back")
    again = read(emitted.source(), writer, options)
    doubts = _read_back(projection.kept, again, writer)
    report = Report.of((*projection.diagnostics, *doubts)).allowing(rules)
    if best_effort and not doubts:
        from pinfeather._best_effort import commented, left_out

        report = Report.of(left_out(finding) for finding in report.diagnostics)
        emitted = commented(emitted, again, document, report, lambda source: read(source, writer, options))
    return Converted(() if report.errors else emitted.artifacts, projection.kept, report)


def _read_back(kept: Document, again: Parsed, writer: AnyTranslator) -> tuple[Diagnostic, ...]:
    if again.document is None:
        why = next(finding.message for finding in again.diagnostics if finding.severity is Severity.ERROR)
        return (error(Code.BUG_READ_BACK, f"what {writer.name!r} wrote cannot be read back: {why}", instead="nothing was written"),)
    if kept == again.document:  # and so in any form
        return ()
    wanted, seen = normal(kept), normal(again.document)
    if wanted == seen:
        return ()
    where = next(name for name in Document.model_fields if getattr(wanted, name) != getattr(seen, name))
    said = f"what {writer.name!r} wrote does not read back as what was meant: `{where}` differs"
    return (error(Code.BUG_READ_BACK, said, (where,), instead="nothing was written; please report it, with the input"),)


_MARK = b"\xef\xbb\xbf"
"""A byte order mark, which is no part of the first line."""


def recognised(file: File, translators: Iterable[AnyTranslator]) -> tuple[str, ...]:
    """The names of the formats that a file looks like. One that raises, against its contract, does not recognise it."""
    if isinstance(file.text, bytes) and file.text.startswith(_MARK):
        file = file._replace(text=file.text.removeprefix(_MARK))
    return tuple(each.name for each in translators if _recognises(each, file))


def _recognises(translator: AnyTranslator, file: File) -> bool:
    try:
        return bool(translator.recognise(file))
    except Exception:  # noqa: BLE001 - foreign code; the other formats must still be asked
        return False
