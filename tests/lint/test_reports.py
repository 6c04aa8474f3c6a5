"""The four ways in which findings are printed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pinfeather import _render
from pinfeather.model.codes import MEANINGS
from pinfeather.model.diagnostics import Report, Span, error, info
from tests.lint.conftest import Lint, Put

COOKIE = """\
pinfeather: v1
services:
  a:
    servers: [{url: http://a:80}, {url: http://b:80}]
    health_check: {path: /h}
    sticky: {cookie: {name: srv_id, secure: true, http_only: true}}
"""
BROKEN = "pinfeather: v1\nroutes: {}\n"


def test_text_shows_the_source_line_and_where_in_it(lint: Lint, put: Put) -> None:
    put({"a.yaml": COOKIE})
    code, text, errors = lint()
    assert code == 1
    first, source, carets = errors.splitlines()
    assert first.startswith("a.yaml:6:22: warning lint.cookie-same-site: the cookie 'srv_id' has no SameSite")
    assert source == "  6 |     sticky: {cookie: {name: srv_id, secure: true, http_only: true}}"
    assert carets == "    |                      " + "^" * len("{name: srv_id, secure: true, http_only: true}")
    assert source[carets.index("^")] == "{"
    assert text == "1 of 1 file is routing (1 pinfeather); 0 errors, 1 warning, 0 info; 1 of them can be fixed: --fix\n"


def shown(text: str, span: Span) -> list[str]:
    return _render.text(Report((error("input.value", "m", span=span),)), lines={"f": text.splitlines(keepends=True)}).splitlines()[1:]


def test_a_long_line_is_cut_around_its_place() -> None:
    source, carets = shown("x" * 500 + "HERE" + "y" * 500, Span("f", 1, 501, 1, 505))
    assert len(source) < 140
    assert source[carets.index("^") : carets.rindex("^") + 1] == "HERE"


def test_what_a_terminal_would_obey_is_escaped_and_the_carets_still_stand_below() -> None:
    source, carets = shown("a\x1b[31m\tb HERE", Span("f", 1, 10, 1, 14))
    assert "\x1b" not in source
    assert source[carets.index("^") : carets.rindex("^") + 1] == "HERE"


@pytest.mark.parametrize("span", [Span("f"), Span("f", 9, 1, 9, 2), Span("g", 1, 1, 1, 2), None])
def test_a_place_that_is_not_there_shows_nothing(span: Span) -> None:
    assert shown("one line\n", span) == []


def test_a_place_over_lines_is_shown_to_the_end_of_its_first() -> None:
    assert shown("a: b\nc: d\n", Span("f", 1, 4, 2, 3)) == ["  1 | a: b", "    |    ^"]


def test_json(lint: Lint, put: Put) -> None:
    put({"a.yaml": COOKIE})
    code, text, errors = lint("--report", "json")
    (finding,) = json.loads(text)
    assert (code, errors) == (1, "")
    assert finding == {
        "code": "lint.cookie-same-site",
        "severity": "warning",
        "message": finding["message"],
        "instead": finding["instead"],
        "path": ["services", "a", "sticky", "cookie"],
        "file": "a.yaml",
        "line": 6,
        "column": 22,
        "fixes": ["say sameSite: lax"],
    }


def test_github_lines(lint: Lint, put: Put) -> None:
    put({"a,b:c.yaml": COOKIE, "wrong.yaml": BROKEN})
    code, text, errors = lint("--report", "github")
    assert (code, errors) == (1, "")
    bad, good = text.splitlines()
    assert bad.startswith("::error file=wrong.yaml,line=2,endLine=2,col=9,endColumn=10,title=input.value::")
    assert good.startswith(
        "::warning file=a%2Cb%3Ac.yaml,line=6,endLine=6,col=22,endColumn=66,title=lint.cookie-same-site::the cookie 'srv_id' has"
    )


def test_github_lines_cannot_be_broken_out_of() -> None:
    text = _render.as_github(Report((info("lint.x", "100%\n::error::no\r", span=Span("a\nb")),)))
    assert text == "::notice file=a%0Ab,title=lint.x::100%25%0A::error::no%0D\n"


# SARIF -------------------------------------------------------------------------------------------------------------------

REQUIRED: dict[str, tuple[str, ...]] = {
    "log": ("version", "runs"), "run": ("tool",), "driver": ("name",), "rule": ("id",), "result": ("message",), "message": ("text",),
    "fix": ("artifactChanges",), "change": ("artifactLocation", "replacements"), "replacement": ("deletedRegion",),
}  # fmt: skip
"""What the schema of SARIF 2.1.0 requires of each object that is used here, besides what section 3 of the text does."""


def has(kind: str, held: dict[str, Any]) -> None:
    assert all(key in held for key in REQUIRED[kind]), (kind, held)


def check_region(region: dict[str, int]) -> None:
    assert region["startLine"] >= 1
    assert region["startColumn"] >= 1
    assert region.get("endLine", region["startLine"]) >= region["startLine"]
    assert region["startLine"] != region.get("endLine") or region["endColumn"] >= region["startColumn"]


def test_sarif(lint: Lint, put: Put) -> None:
    put({"dir/a b.yaml": COOKIE, "wrong.yaml": BROKEN})
    code, text, errors = lint("--report", "sarif")
    assert (code, errors) == (1, "")
    log = json.loads(text)
    has("log", log)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    has("run", run)
    driver = run["tool"]["driver"]
    has("driver", driver)
    assert [rule["id"] for rule in driver["rules"]] == ["input.value", "lint.cookie-same-site"]
    for rule in driver["rules"]:
        has("rule", rule)
        meaning, remedy = next(texts for code, texts in MEANINGS.items() if code == rule["id"])
        assert (rule["shortDescription"]["text"], rule["help"]["text"]) == (meaning, remedy)
    assert [result["level"] for result in run["results"]] == ["error", "warning"]
    for result in run["results"]:
        has("result", result)
        has("message", result["message"])
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        (location,) = result["locations"]
        check_region(location["physicalLocation"]["region"])
    cookie = run["results"][1]
    assert cookie["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "dir/a%20b.yaml"},
        "region": {"startLine": 6, "startColumn": 22, "endLine": 6, "endColumn": 67},
    }
    (fix,) = cookie["fixes"]
    has("fix", fix)
    (change,) = fix["artifactChanges"]
    has("change", change)
    (replacement,) = change["replacements"]
    has("replacement", replacement)
    check_region(replacement["deletedRegion"])
    assert replacement["insertedContent"]["text"] == ", same_site: lax"
    assert (
        replacement["deletedRegion"]["startColumn"]
        == replacement["deletedRegion"]["endColumn"]
        == len("    sticky: {cookie: {name: srv_id") + 1
    )


def test_sarif_of_nothing(lint: Lint, put: Put) -> None:
    put({"a.yaml": COOKIE.replace("http_only: true", "http_only: true, same_site: lax")})
    code, text, _ = lint("--report", "sarif")
    assert (code, json.loads(text)["runs"][0]["results"]) == (0, [])


def test_sarif_of_a_file_as_a_whole() -> None:
    text = _render.as_sarif(Report((error("plugin.x", "m", span=Span("f")), error("plugin.x", "n"))), "1")
    (run,) = json.loads(text)["runs"]
    whole, nowhere = sorted(run["results"], key=lambda each: "locations" not in each)
    assert whole["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "f"}}}]
    assert "locations" not in nowhere
    assert len(run["tool"]["driver"]["rules"]) == 1
