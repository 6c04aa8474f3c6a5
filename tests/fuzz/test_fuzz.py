"""A few inputs for each reader in every run of the tests, and every input that once broke one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pinfeather._plugins import every
from pinfeather.translators import builtin, canonical
from pinfeather.translators.contract import Parsed, Source
from tests.fuzz.checks import CRASHES, fault, keep, kept
from tests.fuzz.inputs import bases, make

FORMATS = every().translators
COUNT = 150


@pytest.mark.parametrize("name", FORMATS)
def test_no_reader_breaks(name: str) -> None:
    translator = FORMATS[name]
    for number in range(COUNT):
        found = fault(translator, make(translator, 1, number))
        assert found is None, f"--format {name} --seed 1, number {number}: {found.where}\n{found.what}"


@pytest.mark.parametrize("path", sorted(CRASHES.glob("*.json")), ids=lambda path: path.stem)
def test_what_broke_one_is_read_now(path: Path) -> None:
    name, given = kept(path)
    found = fault(FORMATS[name], given)
    assert found is None, f"{found.where}\n{found.what}"


@pytest.mark.parametrize("name", FORMATS)
def test_inputs_reach_what_they_are_for(name: str) -> None:
    """Inputs that are all refused at the first character would try nothing."""
    translator = FORMATS[name]
    assert len(bases(translator)) > 5
    read = 0
    for number in range(200):
        given = make(translator, 1, number)
        parsed = translator.parse(given.source, translator.options())
        read += parsed.document is not None and bool(parsed.document.routes or parsed.document.services or parsed.document.tcp_routes)
    assert read > 3


def test_the_same_number_is_the_same_input() -> None:
    translator = FORMATS["traefik-file"]
    assert make(translator, 3, 7) == make(translator, 3, 7)
    assert make(translator, 3, 7) != make(translator, 3, 8)


# Readers that break, each in one way -----------------------------------------------------------------------------------

GOOD = builtin.load("pinfeather")


def _raising(source: Source, options: canonical.CanonicalOptions) -> Parsed:
    raise KeyError(source.files[0].name)


def _silent(_source: Source, _options: canonical.CanonicalOptions) -> Parsed:
    return Parsed(None)


def _slow(source: Source, options: canonical.CanonicalOptions) -> Parsed:
    sum(range(10**8))
    return canonical.parse(source, options)


@pytest.mark.parametrize(("parse", "where"), [(_raising, "KeyError test_fuzz.py"), (_silent, "silent"), (_slow, "slow")])
def test_a_reader_that_breaks_is_caught_and_kept(parse: object, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(GOOD, parse=parse)
    given = make(GOOD, 0, 0)
    found = fault(broken, given)
    assert found is not None
    assert found.where.startswith(where)
    monkeypatch.setattr("tests.fuzz.checks.CRASHES", tmp_path)
    name, again = kept(keep(broken, given, found))
    assert name == "pinfeather"
    assert [bytes(file.text) for file in again.source.files] == [bytes(file.text) for file in given.source.files]  # type: ignore[arg-type]
