"""Nouns are made and copied as pydantic makes and copies them; what is printable, and what a token is, by the character."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from pydantic import BaseModel
from pydantic_core import PydanticCustomError

import pinfeather.model.document
from pinfeather.model.document import Document
from pinfeather.model.features import walk
from pinfeather.model.match import Not
from pinfeather.model.noun import Noun, printable
from pinfeather.testing import strategies


def _kinds(noun: type[Noun] = Noun) -> Iterator[type[Noun]]:
    for kind in noun.__subclasses__():
        if kind.__module__.startswith("pinfeather.model."):
            yield kind
        yield from _kinds(kind)


KINDS = sorted(set(_kinds()), key=lambda kind: (kind.__module__, kind.__name__))


def _same(made: BaseModel, expected: BaseModel) -> None:
    assert type(made) is type(expected)
    assert list(made.__dict__.items()) == list(expected.__dict__.items())  # the order of the fields, too
    assert made.model_fields_set == expected.model_fields_set
    assert (made.__pydantic_extra__, made.__pydantic_private__) == (expected.__pydantic_extra__, expected.__pydantic_private__)
    assert made == expected
    assert BaseModel.__eq__(made, expected)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_made_as_pydantic_makes_it(kind: type[Noun]) -> None:
    pydantics = BaseModel.model_construct.__func__  # type: ignore[attr-defined]
    names = list(kind.model_fields)
    choices = [{}, {name: object() for name in names}, *({name: object()} for name in names), {"stray": 1}]
    choices += [{field.alias: object()} for field in kind.model_fields.values() if field.alias]
    for values in choices:
        _same(kind.model_construct(**values), pydantics(kind, **values))
        _same(kind.model_construct({"x"}, **values), pydantics(kind, {"x"}, **values))
        made = kind.model_construct(**values)
        for update in (None, {}, *({name: object()} for name in names)):
            _same(made.model_copy(update=update), BaseModel.model_copy(made, update=update))


def test_no_two_share_a_default() -> None:
    one, other = Document.model_construct(), Document.model_construct()
    assert one.services is not other.services
    assert one.model_copy().services is one.services
    assert one.model_copy(deep=True).services is not one.services


@settings(max_examples=30, deadline=None)
@given(strategies.documents(), strategies.documents())
def test_equal_as_pydantic_says(one: Document, other: Document) -> None:
    nouns = [noun for document in (one, other) for _, noun in walk(document)][:24]
    for first in nouns:
        for second in nouns:
            assert (first == second) is BaseModel.__eq__(first, second)
            assert first != second or hash_of(first) == hash_of(second)
    assert one == Document.model_validate(one.model_dump(mode="json"))
    assert one != 1


def hash_of(noun: Noun) -> int | None:
    try:
        return hash(noun)
    except TypeError:  # it holds a mapping
        return None


def test_an_alias_is_a_field() -> None:
    host = pinfeather.model.document.EntryPoint.model_construct(port=1)
    assert Not.model_construct(**{"not": host}).none is host  # type: ignore[arg-type]


def test_printable_by_the_character() -> None:
    """What `str.isprintable` lets pass is passed at once; the slow way must agree on every character there is."""
    refused = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufeff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        try:
            fine = printable(character) == character
        except PydanticCustomError:
            fine = False
        assert fine is not bool(refused.match(character)), hex(code)
