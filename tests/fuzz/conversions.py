"""One conversion: a document as one format says it, written in another, and held against the laws across the pair."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pinfeather._convert import read, write
from pinfeather.model.build import build
from pinfeather.model.diagnostics import Severity
from pinfeather.model.document import Document
from pinfeather.model.project import project
from pinfeather.testing import laws, strategies, traffic
from pinfeather.translators.contract import AnyTranslator, Emitted, Options, Parsed, Source
from tests.fuzz.checks import CRASHES
from tests.translators import test_ingress

LAWS = (laws.read_back, laws.honest_loss, laws.decisions_kept, laws.never_wider)
"""No silent loss and no invented one, nothing that is decided otherwise, nothing wider."""


class Broken(NamedTuple):
    """What went wrong between two formats. `where` is the same for all documents that meet one mistake."""

    where: str
    what: str


def documents(number: int, count: int) -> Iterator[Document]:
    """So many documents; the same number gives the same ones."""
    found: list[Document] = []

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.one_of(strategies.documents(), traffic.documents(), traffic.documents(), test_ingress.documents()))
    def collect(made: Document) -> None:
        found.append(made)

    collect()
    return iter(found[:count])


def said(document: Document, format: AnyTranslator) -> Document | Broken:
    """The document as a format says it: what it reads of what it writes."""
    options = format.options()
    kept = project(document, format.supports(options)).kept
    parsed = read(format.emit(kept, options).source(), format, options)
    errors = [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR]
    if parsed.document is None or errors:
        return Broken(f"{format.name} cannot read what it wrote: {errors[0].code}", errors[0].message)
    return parsed.document


def broken(source: Document, reader: AnyTranslator, writer: AnyTranslator) -> Broken | None:
    """What is wrong with the conversion of what `reader` has read by `writer`; None: nothing."""
    writer, options = _once(writer), writer.options()
    pair = f"{reader.name} -> {writer.name}"
    made = write(source, writer, options)
    bug = next((finding for finding in made.report.diagnostics if finding.code.startswith("bug.")), None)
    if bug is not None:
        return Broken(f"{pair}: {bug.code}", bug.message)
    for law in LAWS:
        try:
            law(writer, options, source)
        except AssertionError as problem:
            return Broken(f"{pair}: {law.__name__} {_kind(str(problem))}", str(problem)[:3000])
    return None


def _kind(text: str) -> str:
    """A message without its values."""
    return " ".join(word for word in text.split(":")[0].split() if word.isalpha())[:60]


def _once(translator: AnyTranslator) -> AnyTranslator:
    """The same, but what it wrote or read last is not written or read again: every law asks for the same."""
    emitted: list[tuple[Document, Emitted]] = []
    parsed: list[tuple[Source, Parsed]] = []
    supports = translator.supports(translator.options())

    def emit(document: Document, options: Options) -> Emitted:
        if not emitted or emitted[0][0] != document:
            emitted[:] = [(document, translator.emit(document, options))]
        return emitted[0][1]

    def parse(source: Source, options: Options) -> Parsed:
        if not parsed or parsed[0][0] != source:
            parsed[:] = [(source, translator.parse(source, options))]
        return parsed[0][1]

    supported: Callable[[Options], object] = lambda _options: supports  # noqa: E731
    return replace(translator, emit=emit, parse=parse, supports=supported)


# Files -----------------------------------------------------------------------------------------------------------------


def keep(document: Document, reader: str, writer: str, found: Broken) -> Path:
    """Writes a document that broke a pair into `crashes/`, once."""
    tree = {"document": document.model_dump(mode="json", exclude_defaults=True), "from": reader, "to": writer, "was": found.where}
    text = json.dumps(tree, indent=1, ensure_ascii=False) + "\n"
    CRASHES.mkdir(exist_ok=True)
    path = CRASHES / f"pair-{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}.document"
    path.write_text(text, "utf-8")
    return path


def kept(path: Path) -> tuple[Document, str, str]:
    tree = json.loads(path.read_text("utf-8"))
    document, faults = build({"pinfeather": "v1", **tree["document"]})
    assert document is not None, faults
    return document, tree["from"], tree["to"]
