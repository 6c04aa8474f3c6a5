"""Inline ignores: what they cover, that they say why, and that none stays for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lint.conftest import Lint, Put

FILE = """\
http:
  services:
    app:
      loadBalancer:
        servers: [{{url: "http://a:80"}}, {{url: "http://b:80"}}]
        healthCheck: {{path: /h}}
        sticky:
          cookie:
            {above}
            name: srv_id{after}
            secure: true
            httpOnly: true
"""
COVERS = [
    ("# pinfeather: ignore lint.cookie-same-site: old browsers", ""),
    ("", "   # pinfeather: ignore lint.cookie-same-site: old browsers"),
    ("#pinfeather:ignore lint.cookie-same-site, lint.cookie-insecure : old browsers", ""),
    ("# pinfeather: ignore lint.*: old browsers\n            # and more\n", ""),
]


@pytest.mark.parametrize(("above", "after"), COVERS)
def test_a_comment_with_a_reason_ignores_the_finding_of_its_line(above: str, after: str, lint: Lint, put: Put) -> None:
    put({"a.yml": FILE.format(above=above, after=after)})
    code, text, errors = lint()
    assert (code, errors) == (0, "")
    assert text.endswith("; 0 errors, 0 warnings, 0 info\n")


@pytest.mark.parametrize(
    "comment", ["# pinfeather: ignore lint.cookie-same-site", "# pinfeather: ignore lint.cookie-same-site:  ", "# pinfeather: ignore"]
)
def test_without_a_reason_it_ignores_nothing_and_is_a_finding(comment: str, lint: Lint, put: Put) -> None:
    put({"a.yml": FILE.format(above=comment, after="")})
    code, _, errors = lint()
    assert code == 1
    assert "a.yml:9:13: warning lint.ignore-without-reason: this ignores nothing" in errors
    assert "warning lint.cookie-same-site" in errors


ELSEWHERE = [
    ("# pinfeather: ignore lint.cookie-readable: not this one", ""),
    ("# pinfeather: ignore lint.no-such-code: not this one", ""),
    ("", "\n            # pinfeather: ignore lint.cookie-same-site: not on this line"),
]


@pytest.mark.parametrize(("above", "after"), ELSEWHERE)
def test_one_that_matches_nothing_is_said_and_can_be_removed(above: str, after: str, lint: Lint, put: Put, here: Path) -> None:
    put({"a.yml": FILE.format(above=above, after=after)})
    code, _, errors = lint()
    assert code == 1
    assert " info lint.ignore-unused: " in errors
    assert "warning lint.cookie-same-site" in errors
    lint("--fix")
    left = (here / "a.yml").read_text()
    assert "pinfeather" not in left
    assert [line for line in left.splitlines() if line.strip()] == [
        line for line in FILE.format(above="", after="\n            sameSite: lax").splitlines() if line.strip()
    ]


def test_an_unused_one_behind_something_is_removed_with_its_blanks(lint: Lint, put: Put, here: Path) -> None:
    put(
        {
            "a.yml": FILE.format(above="", after="  # pinfeather: ignore lint.app-cookie: no").replace(
                "secure", "sameSite: lax\n            secure"
            )
        }
    )
    assert lint("--fix")[0] == 0
    assert "            name: srv_id\n" in (here / "a.yml").read_text()


def test_what_cannot_be_read_cannot_be_ignored(lint: Lint, put: Put) -> None:
    put({"a.yaml": "pinfeather: v1\n# pinfeather: ignore input.*: no\nroutes: {}\n"})
    code, _, errors = lint()
    assert code == 1
    assert "a.yaml:3:9: error input.value: " in errors
    assert "a.yaml:2:1: info lint.ignore-unused: " in errors


@pytest.mark.parametrize(
    "text", ['name: "x # pinfeather: ignore lint.*: y"', "name: 'x # pinfeather: ignore lint.*: y'", "name: x#pinfeather:ignore"]
)
def test_a_text_is_no_comment(text: str, lint: Lint, put: Put) -> None:
    put({"a.yml": FILE.format(above="", after="").replace("name: srv_id", text)})
    code, _, errors = lint()
    assert code == 1
    assert "lint.ignore" not in errors
    assert "lint.cookie-same-site" in errors
