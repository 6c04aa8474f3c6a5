"""Random documents through every pair of formats: nothing lost in silence, no loss invented, nothing wider. `make long` takes many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pinfeather._plugins import every
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, NONE, Feature
from pinfeather.translators import builtin, canonical
from tests.fuzz.checks import CRASHES
from tests.fuzz.conversions import Broken, broken, documents, kept, said
from tests.test_laws import SHOP

FORMATS = every().translators
COUNT = 4


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_says_is_kept_by_every_other_or_the_loss_is_said(name: str) -> None:
    for number, document in enumerate(documents(7, COUNT)):
        source = said(document, FORMATS[name])
        assert isinstance(source, Document), source
        for other, writer in FORMATS.items():
            found = broken(source, FORMATS[name], writer)
            assert found is None, f"document {number}, {name} to {other}: {found.where}\n{found.what}"


@pytest.mark.parametrize("path", sorted(CRASHES.glob("*.document")), ids=lambda path: path.stem)
def test_what_broke_a_pair_is_kept_now(path: Path) -> None:
    document, reader, writer = kept(path)
    found = broken(document, FORMATS[reader], FORMATS[writer])
    assert found is None, f"{found.where}\n{found.what}"


GOOD = builtin.load("pinfeather")


def _without_cookie(document: Document) -> Document:
    return document.model_copy(update={"routes": tuple(route.model_copy(update={"sticky": None}) for route in document.routes)})


def test_a_loss_in_silence_is_caught() -> None:
    assert SHOP is not None
    silent = replace(GOOD, name="silent", emit=lambda document, options: canonical.emit(_without_cookie(document), options))
    found = broken(SHOP, GOOD, silent)
    assert isinstance(found, Broken)
    assert "does not read back" in found.where


def test_what_is_wider_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `project` took the middleware out and left its route."""
    from pinfeather.model import project

    assert SHOP is not None
    wide = replace(GOOD, name="wide", supports=lambda _options: {**dict.fromkeys(Feature, FULL), Feature.BASIC_AUTH: NONE})
    assert broken(SHOP, GOOD, wide) is None
    real = project._take
    monkeypatch.setattr(project, "_take", lambda cut, place, *, permitted: real(cut, place, permitted=True))
    found = broken(SHOP, GOOD, wide)
    assert isinstance(found, Broken)
    assert "past" in found.where
