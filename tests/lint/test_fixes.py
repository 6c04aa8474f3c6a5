"""The engine of `lint --fix`: edits of one fix together or not at all, none over another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfeather._fixes import apply
from pinfeather.model.diagnostics import Diagnostic, Edit, Fix, Severity, Span
from pinfeather.translators._syntax.repair import inside, lines_of


def at(line: int, column: int, end: int | None = None, end_line: int | None = None, file: str = "f") -> Span:
    return Span(file, line, column, end_line or line, column if end is None else end)


def finding(name: str, *edits: Edit) -> Diagnostic:
    return Diagnostic("lint.x", Severity.WARNING, name, fixes=(Fix(name, edits),))


def fixed(text: str, *findings: Diagnostic) -> tuple[str, list[str]]:
    done = apply({"f": text}, findings)
    return done.texts.get("f", text), [each.message for each in done.findings]


def test_edits_of_several_findings() -> None:
    text = "one two\nthree\n"
    assert fixed(text, finding("a", Edit(at(1, 5, 8), "2")), finding("b", Edit(at(2, 1, 6), "3"), Edit(at(1, 1), "> "))) == (
        "> one 2\n3\n",
        ["a", "b"],
    )


def test_an_edit_over_another_is_left_with_all_of_its_fix() -> None:
    text = "one two\nthree\n"
    first, second = finding("a", Edit(at(1, 1, 5), "1 ")), finding("b", Edit(at(1, 4, 8), "x"), Edit(at(2, 1, 6), "3"))
    assert fixed(text, first, second) == ("1 two\nthree\n", ["a"])
    assert fixed(text, second, first) == ("onex\n3\n", ["b"])


def test_edits_that_only_touch_are_both_applied() -> None:
    assert fixed("abcd", finding("a", Edit(at(1, 1, 3), "1")), finding("b", Edit(at(1, 3, 5), "2")), finding("c", Edit(at(1, 3), "-"))) == (
        "1-2",
        ["a", "b", "c"],
    )


def test_an_insertion_within_an_edit_is_left() -> None:
    assert fixed("abcd", finding("a", Edit(at(1, 1, 5), "1")), finding("b", Edit(at(1, 3), "x"))) == ("1", ["a"])


def test_insertions_at_one_place_stand_in_the_order_of_their_findings() -> None:
    assert fixed("ab\n", *(finding(name, Edit(at(2, 1), f"{name}\n")) for name in "xyz")) == ("ab\nx\ny\nz\n", ["x", "y", "z"])
    assert fixed("ab", *(finding(name, Edit(at(2, 1), f"{name}\n")) for name in "xyz")) == ("ab\nx\ny\nz", ["x", "y", "z"])


def test_one_edit_of_two_findings_is_made_once() -> None:
    assert fixed("ab\n", *(finding(name, Edit(at(1, 3), "c")) for name in "xy")) == ("abc\n", ["x", "y"])


def test_a_fix_whose_edits_overlap_each_other_is_left() -> None:
    assert fixed("abcd", finding("a", Edit(at(1, 1, 3), "1"), Edit(at(1, 2, 4), "2"))) == ("abcd", [])


@pytest.mark.parametrize(
    "edit",
    [
        Edit(at(1, 1, 3), "x", "ba"), Edit(at(9, 1), "x"), Edit(at(1, 9), "x"), Edit(at(0, 1), "x"), Edit(at(1, 0), "x"),
        Edit(at(1, 3, 1), "x"), Edit(at(1, 1, 2, 9), "x"), Edit(at(1, 1, file="g"), "x"),
    ],
)  # fmt: skip
def test_a_span_that_does_not_hold_what_is_expected_is_left(edit: Edit) -> None:
    assert fixed("ab\ncd\n", finding("a", edit), finding("b", Edit(at(2, 1, 3), "y", "cd"))) == ("ab\ny\n", ["b"])


def test_a_finding_without_a_fix_is_not_fixed() -> None:
    assert fixed("ab", finding("a"), Diagnostic("lint.x", Severity.WARNING, "b")) == ("ab", [])


def test_the_line_ends_are_those_of_the_file() -> None:
    assert fixed("a\r\nb\r\nc\n", finding("a", Edit(at(2, 1), "x\n")))[0] == "a\r\nx\r\nb\r\nc\n"
    assert fixed("a\rb\r", finding("a", Edit(at(2, 1), "x\n")))[0] == "a\rx\rb\r"


@given(
    st.text("ab \n\r", max_size=20),
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(0, 4), st.text("xy", max_size=2)), max_size=6),
)
def test_what_is_not_covered_by_an_edit_stays(text: str, edits: list[tuple[int, int, int, str]]) -> None:
    findings = [finding(str(n), Edit(at(line, column, column + width), new)) for n, (line, column, width, new) in enumerate(edits)]
    result, done = fixed(text, *findings)
    changed = {
        (edit.span.line, column)
        for each in findings
        if each.message in done
        for edit in each.fixes[0].edits
        for column in range(edit.span.column, edit.span.end_column)
    }
    kept = [c for number, line in enumerate(lines_of(text), 1) for column, c in enumerate(line, 1) if (number, column) not in changed]
    left = iter(result)
    assert all(character in left for character in kept), "every other character is there, in its order"
    assert sum(c in "xy" for c in result) <= sum(len(new) for *_, new in edits)


# Inside of a scalar ------------------------------------------------------------------------------------------------------

INSIDE = {
    "plain": ("k: a.b c", "a.b", r"a\.b", r"k: a\.b c"),
    "single": ("k: 'a.b'", "a.b", "it's", "k: 'it''s'"),
    "double": ('k: "a.b"', "a.b", r'a\."b', r'k: "a\\.\"b"'),
    "double, of what is escaped": (r'k: "a\\.b"', r"a\.b", "c", 'k: "c"'),
    "item of a list": ('  - "x.rule=a.b"', "a.b", r"\s", r'  - "x.rule=\\s"'),
    "flow": ("{k: [a.b, c]}", "a.b", "d", "{k: [d, c]}"),
}


@pytest.mark.parametrize("case", INSIDE)
def test_a_part_of_a_scalar_is_written_in_its_own_quotes(case: str) -> None:
    line, old, new, result = INSIDE[case]
    edits = inside([line], at(1, 1, len(line) + 1), old, new)
    assert fixed(line, finding("a", *edits)) == (result, ["a"])


@pytest.mark.parametrize(("line", "old", "new"), [
    ("k: a a", "a", "b"), ("k: b", "a", "b"), ("k: a", "a", "b # c"), ("k: a", "a", "b: c"), ("- a", "- a", "[b"), ("k: 'x' # a", "a", "b"), ("k: a", "", "b"),
])  # fmt: skip
def test_what_cannot_be_told_or_would_break_out_gets_no_edit(line: str, old: str, new: str) -> None:
    assert inside([line], at(1, 1, len(line) + 1), old, new) == ()
