"""What a case sheet must hold: each check raises AssertionError with what is written and what is true.

`accept` writes the generated parts of a sheet again, by the same functions that judge them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from pinfeather._convert import options_for, read
from pinfeather.model.bind import bind, binding
from pinfeather.model.decide import Decision, Outcomes, Table, outcomes
from pinfeather.model.diagnostics import Diagnostic, Report, dotted, span_at
from pinfeather.model.document import Document
from pinfeather.model.lint import lint
from pinfeather.model.normal import normal
from pinfeather.model.project import Projection, project
from pinfeather.testing.sheets import NOTHING, Block, Extent, FormatSection, InputSection, Row, Sheet, row_line
from pinfeather.translators import builtin
from pinfeather.translators.contract import AnyTranslator, File, Options, Source, TextFile

Translators = Mapping[str, AnyTranslator]
CANONICAL = "pinfeather"
"""The format whose block is `## Document` itself."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a sheet claims."""

    name: str
    run: Callable[[], None]


def checks(sheet: Sheet, translators: Translators) -> Iterator[Check]:
    """Every claim of a sheet, over these formats."""
    if sheet.document is not None:
        yield Check("document", lambda: _document_stands(sheet))
        yield Check("every-format", lambda: _every_format(sheet, translators))
    if sheet.findings is not None:
        yield Check("findings", lambda: _same(sheet, sheet.findings, _linted(sheet)))
    for section in sheet.formats:
        if section.losses is not None and section.name in translators:
            translator = translators[section.name]
            yield Check(f"{section.name}-golden", lambda s=section, t=translator: _golden(sheet, s, t))  # type: ignore[misc]
            yield Check(f"{section.name}-read-back", lambda s=section, t=translator: _read_back(sheet, s, t))  # type: ignore[misc]
            yield Check(f"{section.name}-losses", lambda s=section, t=translator: _losses(sheet, s, t))  # type: ignore[misc]
    for number, section_in in enumerate(sheet.inputs, 1):
        if section_in.name in translators:
            translator = translators[section_in.name]
            yield Check(f"{section_in.name}-input-{number}", lambda s=section_in, t=translator: _input(sheet, s, t))  # type: ignore[misc]
    if sheet.rows:
        table = Table.of(subject(sheet, translators))
        for number, row in enumerate(sheet.rows, 1):
            yield Check(f"request-{number}", lambda r=row: _row(sheet, r, table))  # type: ignore[misc]


def accept(sheet: Sheet, translators: Translators) -> str:
    """The sheet's text with every generated part written again."""
    parts: list[tuple[Extent, list[str]]] = []
    if sheet.findings is not None:
        parts.append((sheet.findings.extent, _listed(_linted(sheet))))
    for section in sheet.formats:
        if section.losses is not None and section.name in translators:
            projection, files = _written(sheet, section, translators[section.name])
            parts.append((section.written, list(_fenced(files))))
            parts.append((section.losses.extent, _listed(_lost(projection))))
    for section_in in sheet.inputs:
        if section_in.name in translators:
            document, findings = _taken(sheet, section_in, translators[section_in.name])
            parts.append((section_in.findings.extent, _listed(findings)))
            if section_in.document is not None and document is not None:
                parts.append((section_in.document.extent, _canonical_text(document).splitlines()))
    if sheet.rows:
        table = Table.of(subject(sheet, translators))
        parts += [(Extent(row.line, row.line + 1), [row_line(row.text, outcome_of(row, table))]) for row in sheet.rows]
    lines = list(sheet.lines)
    for extent, text in sorted(parts, key=lambda part: part[0].start, reverse=True):
        lines[extent.start : extent.end] = text
    return "\n".join(lines)


# Documents -------------------------------------------------------------------------------------------------------------


def document_of(sheet: Sheet) -> Document:
    """The document of `## Document`. Raises AssertionError with the findings where it cannot be built."""
    assert sheet.document is not None
    return _canonical(sheet, sheet.document)


def subject(sheet: Sheet, translators: Translators) -> Document:
    """The document that the requests are about: the sheet's own, else what was read."""
    if sheet.document is not None:
        return document_of(sheet)
    section = sheet.inputs[0]
    document, _ = _taken(sheet, section, translators[section.name])
    assert document is not None, f"{sheet.name}: the input gives no document that requests could be about"
    return document


def _canonical(sheet: Sheet, block: Block) -> Document:
    translator = builtin.load(CANONICAL)
    padded = "\n" * block.extent.start + block.text  # so that findings name the lines of the sheet
    parsed = read(Source((File(str(sheet.path), padded),)), translator, translator.options())
    assert parsed.document is not None, f"{sheet.path}: {'; '.join(_located(finding) for finding in parsed.diagnostics)}"
    return parsed.document


def _canonical_text(document: Document) -> str:
    translator = builtin.load(CANONICAL)
    return translator.emit(document, translator.options()).files()[0].text


def _document_stands(sheet: Sheet) -> None:
    document = document_of(sheet)
    translator = builtin.load(CANONICAL)
    again = read(Source((File("again", _canonical_text(document)),)), translator, translator.options())
    assert again.document == document, f"{sheet.name}: the canonical document does not read back as itself"


def _every_format(sheet: Sheet, translators: Translators) -> None:
    named = {section.name for section in sheet.formats}
    missing = [name for name in translators if name not in named and name != CANONICAL]
    assert not missing, f"{sheet.path}: says nothing of {', '.join(missing)}: add the section, or a line `Not said: why` in it"
    unknown = [name for name in named if name not in translators]
    assert not unknown, f"{sheet.path}: there is no format {', '.join(unknown)}"


# Formats ---------------------------------------------------------------------------------------------------------------


def _options(sheet: Sheet, translator: AnyTranslator, given: Mapping[str, str]) -> Options:
    made, wrong = options_for(translator, given)
    assert made is not None, f"{sheet.name}: {'; '.join(finding.message for finding in wrong)}"
    return made


def _written(sheet: Sheet, section: FormatSection, translator: AnyTranslator) -> tuple[Projection, tuple[TextFile, ...]]:
    options = _options(sheet, translator, section.options)
    projection = project(document_of(sheet), translator.supports(options))
    return projection, translator.emit(projection.kept, options).files()


def _fenced(files: tuple[TextFile, ...]) -> Iterator[str]:
    """A block a file; where there are several, each says its name behind the language."""
    if not files:
        yield NOTHING
    for number, file in enumerate(files):
        if number:
            yield ""
        yield f"```{file.language}" if len(files) == 1 else f"```{file.language} {file.name}"
        yield from file.text.splitlines()
        yield "```"


def source_of(section: FormatSection, names: Iterable[str]) -> Source:
    """The blocks of a section as files of these names."""
    return Source(tuple(File(name, block.text) for name, block in zip(names, section.blocks, strict=True)))


def _golden(sheet: Sheet, section: FormatSection, translator: AnyTranslator) -> None:
    _, files = _written(sheet, section, translator)
    assert [file.text for file in files] == [block.text for block in section.blocks], (
        f"{sheet.path}: {section.name} writes something else; look at it, and take it with --accept-cases"
    )


def _read_back(sheet: Sheet, section: FormatSection, translator: AnyTranslator) -> None:
    projection, files = _written(sheet, section, translator)
    if not files:
        return
    options = _options(sheet, translator, section.options)
    again = read(source_of(section, [file.name for file in files]), translator, options)
    assert again.document is not None, f"{sheet.path}: {'; '.join(_located(finding) for finding in again.diagnostics)}"
    assert normal(again.document) == normal(projection.kept), f"{sheet.path}: what {section.name} reads is not what was kept"


def _losses(sheet: Sheet, section: FormatSection, translator: AnyTranslator) -> None:
    projection, _ = _written(sheet, section, translator)
    _same(sheet, section.losses, _lost(projection))


def _lost(projection: Projection) -> list[str]:
    return [f"- `{finding.code}@{dotted(finding.path)}`: {_sentence(finding)}" for finding in projection.diagnostics]


def _linted(sheet: Sheet) -> list[str]:
    return [f"- `{finding.code}@{dotted(finding.path)}`: {_sentence(finding)}" for finding in lint(document_of(sheet))]


# Inputs ----------------------------------------------------------------------------------------------------------------


def _taken(sheet: Sheet, section: InputSection, translator: AnyTranslator) -> tuple[Document | None, list[str]]:
    options = _options(sheet, translator, section.options)
    parsed = read(Source((File(section.name, section.block.text),)), translator, options)
    document, found = parsed.document, parsed.diagnostics
    if section.bound and document is not None:
        values = dict(pair for text in section.bound if (pair := binding(text)) is not None)
        document, more = bind(document, values)
        found = (*found, *(each.at(span_at(parsed.spans, each.path)) for each in more))
    return document, [f"- {_located(finding)}" for finding in Report.of(found).diagnostics]


def _input(sheet: Sheet, section: InputSection, translator: AnyTranslator) -> None:
    document, findings = _taken(sheet, section, translator)
    _same(sheet, section.findings, findings)
    if section.document is not None:
        assert document is not None, f"{sheet.path}: the input gives no document"
        assert normal(_canonical(sheet, section.document)) == normal(document), f"{sheet.path}: the input reads as another document"
    if section.same:
        assert document is not None, f"{sheet.path}: the input gives no document"
        assert normal(document) == normal(document_of(sheet)), f"{sheet.path}: the input does not read as the document"


def _located(finding: Diagnostic) -> str:
    where = f"{finding.span.line}:{finding.span.column} " if finding.span is not None and finding.span.line else ""
    return f"{where}`{finding.code}` {finding.severity}: {_sentence(finding)}"


def _sentence(finding: Diagnostic) -> str:
    return f"{finding.message}; {finding.instead}" if finding.instead else finding.message


# Requests --------------------------------------------------------------------------------------------------------------


def outcome_of(row: Row, table: Table) -> str:
    """What the decision core says to a row, in words."""
    return told(outcomes(table, row.request, row.state(table.document)), table.document)


def told(found: Outcomes, document: Document) -> str:
    """Shares by what happens: to which service, through what, with which cookies set; the server where only one is left."""
    groups: dict[tuple[int, str, str | None, tuple[str, ...], tuple[str, ...]], tuple[Fraction, set[str]]] = {}
    for low, high, decision in found.parts:
        cookies = tuple(binding.cookie.name for binding in decision.set_cookies)
        key = (decision.status, decision.reason, decision.service, decision.middlewares, cookies)
        share, servers = groups.get(key, (Fraction(0), set()))
        groups[key] = share + high - low, servers | ({decision.server_key} if decision.server_key is not None else set())
    parts = []
    for (_, reason, service, middlewares, cookies), (share, servers) in groups.items():
        text = "" if share == 1 else f"{share} "
        text += _where(reason, service)
        if service is not None and len(servers) == 1 and service in document.services and len(_servers(document, service)) > 1:
            text += f" at `{next(iter(servers))}`"
        text += "".join((_names(" through", middlewares), _names(", sets", cookies)))
        parts.append(text)
    return "; ".join(parts)


def _servers(document: Document, service: str) -> tuple[object, ...]:
    found: tuple[object, ...] = getattr(document.services[service], "servers", ())
    return found


def _where(reason: str, service: str | None) -> str:
    if reason == "no route":
        return "404"
    if reason == "no server":
        return "503" if service is None else f"503 from `{service}`"
    return f"`{service}`"


def _names(word: str, names: tuple[str, ...]) -> str:
    return f"{word} {', '.join(f'`{name}`' for name in names)}" if names else ""


def _row(sheet: Sheet, row: Row, table: Table) -> None:
    true = outcome_of(row, table)
    assert row.outcome == true, f"{sheet.path}:{row.line + 1}: {row.text}\n  written: {row.outcome}\n  true:    {true}"


def _same(sheet: Sheet, listing: object, true: list[str]) -> None:
    written = list(getattr(listing, "entries", ()))
    said = "\n  ".join(("", "written:", *written, "true:", *true))
    assert written == true, f"{sheet.path}: the list is not what is found{said}"


def _listed(entries: list[str]) -> list[str]:
    return entries or ["None."]


__all__ = ("CANONICAL", "Check", "Decision", "accept", "checks", "document_of", "outcome_of", "source_of", "subject", "told")
