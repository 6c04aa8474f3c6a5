"""Every file of `tests/corpus`: recognised, read as its index says, and written in every other format or refused with losses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from pinfeather._convert import options_for, read, write
from pinfeather._plugins import every
from pinfeather._sources import readers_for, source
from pinfeather.model.diagnostics import Diagnostic, Severity
from pinfeather.model.document import Document
from pinfeather.translators.contract import AnyTranslator, Options, Parsed, Source

CORPUS = Path(__file__).parent / "corpus"
FORMATS = every().translators


class Entry(NamedTuple):
    """A line of the index."""

    path: str
    format: str
    options: dict[str, str | bool]
    routers: int | None
    tcp: int | None
    errors: Counter[str]
    also: frozenset[str]

    def source(self) -> Source:
        return source([str(CORPUS / self.path)])


def _counted(text: str) -> Counter[str]:
    """`a, b x2` as a count."""
    found: Counter[str] = Counter()
    for each in filter(None, (part.strip() for part in text.split(","))):
        code, _, times = each.partition(" x")
        found[code] = int(times or 1)
    return found


def _entry(line: str) -> Entry:
    path, name, options, routers, tcp, errors, also = (cell.strip() for cell in line.strip().strip("|").split("|"))
    pairs = (pair.strip().partition("=") for pair in options.split(",") if pair.strip())
    given: dict[str, str | bool] = {key: value if equals else True for key, equals, value in pairs}
    numbers = [None if cell in ("-", "?") else int(cell) for cell in (routers, tcp)]
    return Entry(path, name, given, numbers[0], numbers[1], _counted(errors), frozenset(_counted(also)))


def param(entry: Entry, *marks: pytest.MarkDecorator) -> object:
    """An entry as a parameter."""
    return pytest.param(entry, id=entry.path, marks=marks)


INDEX = tuple(_entry(line) for line in (CORPUS / "README.md").read_text("utf-8").splitlines() if re.match(r"\| [\w-]+/", line))
EACH = pytest.mark.parametrize("entry", [param(entry) for entry in INDEX])


def translator_of(entry: Entry) -> AnyTranslator:
    return FORMATS[entry.format]


def options_of(entry: Entry, more: Mapping[str, str | bool]) -> Options:
    made, wrong = options_for(translator_of(entry), {**entry.options, **more})
    assert made is not None, wrong
    return made


@cache
def _taken(path: str, more: frozenset[tuple[str, str | bool]]) -> Parsed:
    entry = next(each for each in INDEX if each.path == path)
    return read(entry.source(), translator_of(entry), options_of(entry, dict(more)))


def taken(entry: Entry, **more: str | bool) -> Parsed:
    """What an entry is read as, with its options and these; each is read once."""
    return _taken(entry.path, frozenset(more.items()))


def routers(document: Document) -> int:
    """The HTTP routers that a document stands for: each route is one, and so is each canary."""
    return sum(1 + len(route.canaries) for route in document.routes)


def said(findings: tuple[Diagnostic, ...]) -> str:
    return "\n".join(f"{finding.span} {finding.severity} {finding.code}: {finding.message}" for finding in findings)


# The corpus itself -----------------------------------------------------------------------------------------------------


def test_the_index_names_every_file_once() -> None:
    paths = [entry.path for entry in INDEX]
    assert len(set(paths)) == len(paths) >= 60
    files = {file.relative_to(CORPUS) for file in CORPUS.rglob("*") if file.is_file() and file.parent != CORPUS}
    missed = {str(file) for file in files if str(file) not in paths and str(file.parent) not in paths}
    assert not missed
    assert all((CORPUS / path).exists() for path in paths)


def _texts(folder: str) -> list[str]:
    return [
        file.read_bytes().decode("utf-8", "replace")
        for entry in INDEX
        if entry.path.startswith(f"{folder}/")
        for file in [CORPUS / entry.path]
        if file.is_file()
    ]


@pytest.mark.parametrize(
    ("folder", "what", "pattern", "low", "high"),
    [
        ("compose", "define middlewares", r"\.middlewares\.[\w-]+\.", 0.75, 0.95),
        ("compose", "refer to other providers", r"@(?:file|internal)", 0.12, 0.35),
        ("compose", "interpolate", r"\$\{?[A-Z]", 0.08, 0.30),
        ("compose", "are sticky", r"\.sticky\.", 0.0, 0.0),
        ("ingressroute", "use middlewares", r"\bmiddlewares:", 0.5, 0.85),
        ("ingressroute", "use the old API group", r"traefik\.containo\.us", 0.15, 0.40),
        ("ingress", "carry annotations of cert-manager", r"cert-manager\.io/", 0.7, 0.95),
    ],
)
def test_the_files_are_about_what_public_ones_are_about(folder: str, what: str, pattern: str, low: float, high: float) -> None:
    """Of 86 public files with labels 75 define middlewares, 20 refer to other providers, 10 interpolate, none is sticky; of 25 with
    IngressRoutes 17 use middlewares, 7 the old API group; of 16 Ingresses 13 carry annotations of cert-manager."""
    texts = _texts(folder)
    share = sum(re.search(pattern, text) is not None for text in texts) / len(texts)
    assert low <= share <= high, f"of the {len(texts)} files in {folder} {share:.0%} {what}"


# Reading ---------------------------------------------------------------------------------------------------------------


@EACH
def test_it_is_recognised(entry: Entry) -> None:
    groups, why = readers_for(entry.source(), None)
    assert [(reader.name, len(files.files)) for reader, files in groups] == [(entry.format, len(entry.source().files))], said(why)


@EACH
def test_it_is_read_as_the_index_says(entry: Entry) -> None:
    parsed = taken(entry)
    found = said(parsed.diagnostics)
    assert not [finding for finding in parsed.diagnostics if finding.code.startswith("bug.")], found
    errors = Counter(str(finding.code) for finding in parsed.diagnostics if finding.severity is Severity.ERROR)
    assert errors == entry.errors, found
    assert entry.also <= {finding.code for finding in parsed.diagnostics if finding.severity is not Severity.ERROR}, found
    counts = (None, None) if parsed.document is None else (routers(parsed.document), len(parsed.document.tcp_routes))
    assert counts == (entry.routers, entry.tcp), found


@EACH
def test_each_finding_stands_at_a_line(entry: Entry) -> None:
    """A person must find what is meant: file and line, unless it is about the run as a whole."""
    for finding in taken(entry).diagnostics:
        if finding.severity is Severity.ERROR:
            assert finding.span is not None, finding
            assert finding.span.file.startswith(str(CORPUS)), finding
            assert finding.span.line, finding


# Writing ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", FORMATS)
@EACH
def test_it_is_written_in_every_other_format_or_refused_with_its_losses(entry: Entry, target: str) -> None:
    if (document := taken(entry).document) is None or target == entry.format:
        return
    written = write(document, FORMATS[target], FORMATS[target].options())
    errors = written.report.errors
    found = said(written.report.diagnostics)
    assert not [finding for finding in written.report.diagnostics if finding.code.startswith(("bug.", "plugin."))], found
    empty = document == Document(pinfeather="v1")
    assert bool(written.artifacts) != bool(errors) or empty, found
    assert all(finding.code.startswith(("loss.", "carried.")) and finding.instead for finding in errors), found
