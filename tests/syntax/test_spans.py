"""Places that are put below a path are asked where they are: no one can tell that from a copy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfeather.model.diagnostics import Path, Span
from pinfeather.translators._syntax.tree import Spans

_STEPS = st.sampled_from(["a", "b", 0])
_PATHS = st.lists(_STEPS, max_size=3).map(tuple)
_OWN = st.dictionaries(_PATHS, st.integers(1, 99).map(lambda line: Span("f", line)), max_size=4)
_HEADS: list[Path] = [("x", 0), ("x", 1), ("y",)]


@given(_OWN, st.lists(st.tuples(st.sampled_from(_HEADS), _OWN), max_size=4), st.lists(_PATHS, max_size=3))
def test_what_is_put_below_is_as_if_copied(own: dict[Path, Span], below: list[tuple[Path, dict[Path, Span]]], gone: list[Path]) -> None:
    spans, plain = Spans(own), dict(own)
    for head, inner in below:
        spans.put_below(head, Spans(inner))
        plain |= {head + path: span for path, span in inner.items()}
    for path in (*gone, *(head + path for head, _ in below for path in gone)):
        assert (path in spans) is (path in plain)
        if path in plain:
            del spans[path], plain[path]
        with pytest.raises(KeyError):
            del spans[path]
    assert dict(spans) == plain
    assert (len(spans), bool(spans)) == (len(plain), bool(plain))
    assert dict(Spans(spans)) == plain
    for head in _HEADS:
        inside = spans.take_below(head)
        assert dict(inside or {}) == {path[len(head) :]: span for path, span in plain.items() if path[: len(head)] == head}


def test_what_is_held_itself_comes_first() -> None:
    spans = Spans({("x", 0, "a"): Span("f", 1)})
    spans.put_below(("x", 0), Spans({("a",): Span("f", 2), ("b",): Span("f", 3)}))
    assert dict(spans) == {("x", 0, "a"): Span("f", 1), ("x", 0, "b"): Span("f", 3)}
    assert spans.get(("x", 0, "c")) is None
