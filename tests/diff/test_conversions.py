"""Each sheet's document beside what each format makes of it: they do the same, and where they do not, a loss or a near said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinfeather.diff.report import difference
from pinfeather.diff.sides import Side
from pinfeather.model.document import Document
from pinfeather.model.project import project
from pinfeather.proxy.loading import load_canonical
from pinfeather.testing import sheets
from pinfeather.translators import builtin
from pinfeather.translators.contract import AnyTranslator

CASES = Path(__file__).parents[1] / "cases"
DOCUMENTS = {
    path.stem: load_canonical(path.name, sheet.document.text)
    for path in sorted(CASES.glob("[0-9]*.md"))
    if (sheet := sheets.read(path)).document is not None
}
FORMATS = [name for name in builtin.MODULES if name != "pinfeather"]


def _written(document: Document, name: str) -> tuple[Document, Document, tuple[str, ...]]:
    """What the format can say, what comes back of it, and what was said on the way."""
    translator: AnyTranslator = builtin.load(name)
    options = translator.options()
    projection = project(document, translator.supports(options))
    parsed = translator.parse(translator.emit(projection.kept, options).source(), options)
    back = parsed.document if parsed.document is not None else Document()
    return projection.kept, back, tuple(str(finding.code) for finding in projection.diagnostics)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("sheet", DOCUMENTS)
def test_what_a_format_keeps_does_the_same_when_it_is_read_back(sheet: str, name: str) -> None:
    kept, back, _ = _written(DOCUMENTS[sheet], name)
    found = difference(Side(kept), Side(back))
    assert not found.classes, [(each.found.region, each.change) for each in found.classes]
    assert not found.tcp


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("sheet", DOCUMENTS)
def test_what_differs_from_the_document_was_said(sheet: str, name: str) -> None:
    _, back, said = _written(DOCUMENTS[sheet], name)
    found = difference(Side(DOCUMENTS[sheet]), Side(back))
    if found.classes or found.tcp or found.pools:
        assert any(code.startswith(("loss.", "near.")) for code in said), [each.found.region for each in found.classes]
