"""The pipeline itself: what a faulty format does to it, and which exit code it ends with."""

from __future__ import annotations

import dataclasses

import pytest

from pinfeather import Document, Emitted, File, Parsed, Source
from pinfeather._convert import convert
from pinfeather.translators import canonical
from pinfeather.translators.canonical import TRANSLATOR, CanonicalOptions

TEXT = """pinfeather: v1
routes:
  - {name: r, hosts: [a.b], to: s}
services:
  s: {servers: [{url: "http://127.0.0.1:1"}], sticky: {cookie: {name: c, secure: true}}}
"""
SOURCE = Source((File("in.yaml", TEXT),))


def forgetful(document: Document, options: CanonicalOptions) -> Emitted:
    """Writes everything but stickiness."""
    services = {name: service.model_copy(update={"sticky": None}) for name, service in document.services.items()}
    return canonical.emit(document.model_copy(update={"services": services}), options)


def garbled(document: Document, options: CanonicalOptions) -> Emitted:
    """Writes what it cannot read."""
    return Emitted(tuple(part._replace(text="[") for part in canonical.emit(document, options).files()))


def raising(document: Document, options: CanonicalOptions) -> Emitted:
    raise RuntimeError("no paper")


@pytest.mark.parametrize(("emit", "code"), [(forgetful, "bug.read-back"), (garbled, "bug.read-back"), (raising, "bug.internal")])
def test_what_does_not_read_back_is_not_believed(emit: object, code: str) -> None:
    writer = dataclasses.replace(TRANSLATOR, emit=emit)  # type: ignore[arg-type]
    result = convert(SOURCE, TRANSLATOR, writer)
    assert [finding.code for finding in result.report.errors] == [code]
    assert result.artifacts == ()
    assert result.exit_code == 3


def test_a_bug_cannot_be_allowed() -> None:
    from pinfeather import Allowed

    writer = dataclasses.replace(TRANSLATOR, emit=forgetful)
    assert convert(SOURCE, TRANSLATOR, writer, allowed=[Allowed.parse("bug.read-back"), Allowed.parse("bug.*")]).refused


def test_a_reader_that_reads_nothing_and_says_nothing_is_a_bug() -> None:
    reader = dataclasses.replace(TRANSLATOR, parse=lambda _source, _options: Parsed(None))
    result = convert(SOURCE, reader, TRANSLATOR)
    assert [finding.code for finding in result.report.errors] == ["bug.internal"]
    assert result.exit_code == 3


def test_the_same_text_gives_the_same_bytes() -> None:
    once = convert(SOURCE, TRANSLATOR, TRANSLATOR)
    again = convert(Source(tuple(File("x", part.text) for part in Emitted(once.artifacts).files())), TRANSLATOR, TRANSLATOR)
    assert once.artifacts == again.artifacts
    assert once.exit_code == 0
