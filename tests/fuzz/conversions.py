"""One conversion: a document as one format says it, written in another, and held against the laws across the pair."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pinfeather._convert import read
from pinfeather.model.build import build
from pinfeather.model.diagnostics import Severity
from pinfeather.model.document import Document
from pinfeather.model.features import NAMES, Derived
from pinfeather.model.normal import normal
from pinfeather.model.project import project, with_other_servers
from pinfeather.testing import laws, strategies, traffic
from pinfeather.testing.probes import probes
from pinfeather.translators.contract import AnyTranslator, Options
from tests.fuzz.checks import CRASHES
from tests.translators import test_ingress

PROBES = 100
"""Requests that one conversion is asked about, at most."""


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
    """What is wrong with the conversion of what `reader` has read by `writer`; None: nothing is lost in silence, invented or wider."""
    try:
        across(writer, writer.options(), source)
    except AssertionError as problem:
        return Broken(f"{reader.name} -> {writer.name}: {_kind(str(problem))}", str(problem)[:3000])
    except Exception as problem:  # noqa: BLE001 - that is what is looked for
        return Broken(f"{reader.name} -> {writer.name}: {type(problem).__name__}", "".join(traceback.format_exception(problem))[-3000:])
    return None


def across(translator: AnyTranslator, options: Options, document: Document) -> None:
    """The laws of read-back, honest loss, decisions kept and never wider at once, with one projection, one text and one reading: for runs over many documents."""
    projection = laws._kept(translator, options, document)
    again = laws._again(translator, options, projection.kept)
    wanted, seen = normal(projection.kept), normal(again)
    assert wanted == seen, f"{translator.name} does not read back what it wrote: {laws._difference(wanted, seen)}"
    supports = translator.supports(options)
    said, _ = with_other_servers(document, supports)
    lost, told = laws._lost(translator, projection, said)
    tables, others = laws._tables(document, again), laws._tables(said, again)
    by_name = not any(isinstance(supports.get(feature), Derived) for feature in NAMES)
    if tables is None or others is None:
        return
    for request, state in probes(document, PROBES):
        laws._no_wider(translator.name, (document, again), tables, request, state)
        if not any(finding.code.startswith("loss.") for finding in lost):
            laws._same(others, said, request, state, f"{translator.name} reports {told}, and it decides", by_name=by_name)


def _kind(text: str) -> str:
    """A message without its values."""
    return " ".join(word for word in text.split(":")[0].split() if word.isalpha())[:60]


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
