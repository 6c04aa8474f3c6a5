"""Every claim of every sheet in `tests/cases`, one test a claim. `make accept` writes their generated parts again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pinfeather._plugins import every
from pinfeather.model.decide import Status
from pinfeather.model.document import Document
from pinfeather.testing import checks, sheets
from pinfeather.translators import builtin
from pinfeather.translators.contract import Emitted, Options, TextFile

FOLDER = Path(__file__).parent / "cases"
OURS = {name: builtin.load(name) for name in builtin.MODULES}
SHEETS = {sheet.name: sheet for sheet in sheets.load(FOLDER)}
CLAIMS = [
    pytest.param(name, claim.name, id=f"{name}-{claim.name}") for name, sheet in SHEETS.items() for claim in checks.checks(sheet, OURS)
]


@pytest.mark.parametrize(("name", "claim"), CLAIMS)
def test_sheet(name: str, claim: str, accept_cases: bool) -> None:
    sheet = SHEETS[name]
    if accept_cases:
        text = checks.accept(sheets.read(sheet.path), OURS)
        if text != sheet.path.read_text("utf-8"):
            sheet.path.write_text(text, "utf-8")
        sheet = sheets.read(sheet.path)
    next(each for each in checks.checks(sheet, OURS) if each.name == claim).run()


def test_accepting_twice_changes_nothing() -> None:
    for each in SHEETS.values():
        sheet = sheets.read(each.path)
        text = checks.accept(sheet, OURS)
        assert text == "\n".join(sheet.lines), f"{sheet.name}: its generated parts are not what --accept-cases writes"


def test_plugins_that_are_installed_need_no_section() -> None:
    assert set(OURS) <= set(every().translators)


SMALL = """# A title

A story.

## Document

```yaml
pinfeather: v1
routes: [{name: a, hosts: [a.example], to: s}]
services: {s: {servers: [{url: "http://10.0.0.1:80"}, {url: "http://10.0.0.2:80"}]}}
```

## Requests

| request | outcome |
|---|---|
| `GET http://a.example/x -H 'A: b|c' --down s/2` | `s` at `http://10.0.0.1:80` |
"""


def _sheet(tmp_path: Path, text: str) -> sheets.Sheet:
    path = tmp_path / "small.md"
    path.write_text(text, "utf-8")
    return sheets.read(path)


def _claims(sheet: sheets.Sheet) -> dict[str, checks.Check]:
    return {claim.name: claim for claim in checks.checks(sheet, {"pinfeather": builtin.load("pinfeather")})}


def test_a_sheet_is_read(tmp_path: Path) -> None:
    sheet = _sheet(tmp_path, SMALL.replace("b|c", "b\\|c"))
    (row,) = sheet.rows
    assert (row.request.method, row.request.path, row.request.headers) == ("GET", "/x", (("a", "b|c"),))
    assert row.states == ((Status.DOWN, "s", 1),)
    assert row.request.entry_point == "web"
    for claim in _claims(sheet).values():
        claim.run()
    assert "\n".join(sheet.lines) == checks.accept(sheet, {"pinfeather": builtin.load("pinfeather")})


def test_a_format_that_writes_several_files_has_a_block_a_file(tmp_path: Path) -> None:
    def emit(document: Document, options: Options) -> Emitted:
        assert isinstance(options, Options)
        (file,) = builtin.load("pinfeather").emit(document, options).files()
        return Emitted((file, TextFile("more.txt", "more\n", "text"))[: 2 if document.routes else 0])

    translator = replace(builtin.load("pinfeather"), name="other", emit=emit)
    section = "## other\n\nProse.\n\n```yaml\n```\n\nMore prose.\n\n### Losses\n\nNone.\n\n"
    text = SMALL.replace("b|c", "b").replace("## Requests", f"{section}## Requests")
    sheet = _sheet(tmp_path, checks.accept(_sheet(tmp_path, text), {"other": translator}))
    (shown,) = sheet.formats
    assert [block.language for block in shown.blocks] == ["yaml pinfeather.yaml", "text more.txt"]
    assert "Prose." in sheet.lines
    assert "More prose." in sheet.lines
    assert "\n".join(sheet.lines) == checks.accept(sheet, {"other": translator})
    nothing = SMALL.replace("b|c", "b").replace("routes: [{name: a, hosts: [a.example], to: s}]\n", "").split("## Requests")[0] + section
    sheet = _sheet(tmp_path, checks.accept(_sheet(tmp_path, nothing), {"other": translator}))
    assert (sheet.formats[0].blocks, sheets.NOTHING in sheet.lines) == ((), True)
    assert "\n".join(sheet.lines) == checks.accept(sheet, {"other": translator})


def test_an_input_with_values_for_its_expressions_may_be_the_document(tmp_path: Path) -> None:
    document = SMALL.split("```yaml\n")[1].split("```")[0]
    told = "## Input (pinfeather)\n\nBind: `{{ .x }}=a.example`\n\nIt reads as the document.\n\n```yaml\n{}```\n\n### Findings\n\nNone.\n"
    text = SMALL.replace("b|c", "b") + "\n" + told.replace("{}", document.replace("[a.example]", '[{template: "{{ .x }}"}]'), 1)
    _claims(_sheet(tmp_path, text))["pinfeather-input-1"].run()
    with pytest.raises(AssertionError, match="does not read as the document"):
        _claims(_sheet(tmp_path, text.replace("=a.example", "=b.example")))["pinfeather-input-1"].run()


def test_a_wrong_outcome_is_said_with_the_true_one(tmp_path: Path) -> None:
    sheet = _sheet(tmp_path, SMALL.replace("b|c", "b").replace("| `s` at `http://10.0.0.1:80` |", "| `s` |"))
    with pytest.raises(AssertionError, match=r"small.md:17: .*\n +written: `s`\n +true:    `s` at `http://10.0.0.1:80`"):
        _claims(sheet)["request-1"].run()


def test_a_broken_document_is_named_at_its_line_of_the_sheet(tmp_path: Path) -> None:
    sheet = _sheet(tmp_path, SMALL.replace("b|c", "b").replace("hosts:", "hots:").split("## Requests")[0])
    with pytest.raises(AssertionError, match=r"9:20 `unread.unknown` error: unknown key 'hots'; did you mean `hosts`"):
        _claims(sheet)["document"].run()


def test_a_format_that_a_sheet_does_not_speak_of_is_missed(tmp_path: Path) -> None:
    sheet = _sheet(tmp_path, SMALL.replace("b|c", "b"))
    claims = {claim.name: claim for claim in checks.checks(sheet, {"other": builtin.load("pinfeather")})}
    with pytest.raises(AssertionError, match="says nothing of other"):
        claims["every-format"].run()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("## Requests", "## Requets please"), "13: a sheet has no section 'Requets please'"),
        (("# A title\n\nA story.", "# A title"), "1: a sheet begins with `# Title` and its story"),
        (("```\n\n## Req", "\n## Req"), "7: this block is not closed"),
        (("GET http://a.example/x", "GET http://a.example/x --bond a=b"), "17: the option --bond is not known here"),
        (("GET http://a.example/x", ""), "has no URL"),
        (("| request | outcome |", "| what | outcome |"), "13: the requests are a table"),
        (("## Requests", "## other\n\nNothing.\n\n## Requests"), "13: 'other' has blocks and `### Losses`, or a line that begins"),
        (("## Requests", "## Findings\n\n## Requests"), "13: 'Findings' holds a list, or says `None.`"),
        (("## Requests", "## other\n\n### Loses\n\nNone.\n\n## Requests"), "15: 'other' has no part 'Loses'"),
    ],
)
def test_a_sheet_that_is_written_wrongly_is_refused_at_its_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(sheets.SheetError) as caught:
        _sheet(tmp_path, SMALL.replace("b|c", "b").replace(*change))
    assert message in str(caught.value)
