"""`.pinfeather.toml`: what it leaves alone, how grave it makes a finding, and what it refuses."""

from __future__ import annotations

import pytest

from tests.lint.conftest import Lint, Put

COOKIE = """\
pinfeather: v1
services:
  a:
    servers: [{url: http://a:80}, {url: http://b:80}]
    health_check: {path: /h}
    sticky: {cookie: {name: srv_id, secure: true, http_only: true}}
"""
SAME_SITE = "warning lint.cookie-same-site"


def test_without_a_file_everything_is_said(lint: Lint, put: Put) -> None:
    put({"dev/a.yaml": COOKIE})
    assert SAME_SITE in lint()[2]


QUIET = {
    "a code": '[lint]\nignore = ["lint.cookie-same-site"]\n',
    "a family": '[lint]\nignore = ["lint.*"]\n',
    "a path": '[lint.paths]\n"dev/**" = ["lint.cookie-same-site"]\n',
    "a path by name": '[lint.paths]\n"a.yaml" = ["lint.cookie-same-site"]\n',
    "a path by a part": '[lint.paths]\n"d?v/*.yaml" = ["lint.cookie-same-site"]\n',
    "a folder": '[lint]\nexclude = ["dev"]\n',
    "a file": '[lint]\nexclude = ["**/a.yaml"]\n',
}
LOUD = {
    "another code": '[lint]\nignore = ["lint.cookie-insecure"]\n',
    "another path": '[lint.paths]\n"prod/**" = ["lint.cookie-same-site"]\n',
    "a path at the top only": '[lint.paths]\n"./a.yaml" = ["lint.cookie-same-site"]\n',
    "a name within": '[lint]\nexclude = ["de"]\n',
    "a star that stays within a name": '[lint]\nexclude = ["*/b.yaml", "/*.yaml"]\n',
    "nothing": "# nothing\n",
}


@pytest.mark.parametrize("case", QUIET)
@pytest.mark.parametrize("named", [".", "dev", "dev/a.yaml"])
def test_a_finding_is_left_alone(case: str, named: str, lint: Lint, put: Put) -> None:
    put({"dev/a.yaml": COOKIE, ".pinfeather.toml": QUIET[case]})
    code, _, errors = lint(named)
    assert (code, errors) == (0, "")


@pytest.mark.parametrize("case", LOUD)
def test_another_finding_is_not(case: str, lint: Lint, put: Put) -> None:
    put({"dev/a.yaml": COOKIE, ".pinfeather.toml": LOUD[case]})
    code, _, errors = lint()
    assert code == 1
    assert SAME_SITE in errors


@pytest.mark.parametrize(("level", "code"), [("error", 1), ("warning", 1), ("info", 0)])
def test_a_severity_is_another(level: str, code: int, lint: Lint, put: Put) -> None:
    put({"a.yaml": COOKIE, ".pinfeather.toml": f'[lint.severity]\n"lint.cookie-same-site" = "{level}"\n'})
    found = lint()
    assert found[0] == code
    assert f": {level} lint.cookie-same-site: " in found[2]


def test_it_is_no_file_that_is_linted(lint: Lint, put: Put) -> None:
    put({"a.yaml": COOKIE, ".pinfeather.toml": QUIET["a code"]})
    assert lint()[1].startswith("1 of 1 file is routing (1 pinfeather); ")


def test_the_nearest_file_upward_holds(lint: Lint, put: Put) -> None:
    put({"dev/a.yaml": COOKIE, "dev/.pinfeather.toml": "", ".pinfeather.toml": QUIET["a code"]})
    assert lint(".")[0] == 0, "the folder that is linted decides"
    assert lint("dev")[0] == 1


@pytest.mark.parametrize("text", ['traefik = "2.11"', '[options.traefik-file]\ntraefik = "2.11"'])
def test_options_reach_the_formats(text: str, lint: Lint, put: Put) -> None:
    rule = 'http: {routers: {r: {rule: "Host(`a`, `b`)", service: s}}, services: {s: {loadBalancer: {servers: [{url: http://a}]}}}}\n'
    put({"a.yml": rule})
    assert "lint.v2-syntax" in lint()[2]
    put({".pinfeather.toml": f"[options]\n{text}\n"})
    assert lint()[2] == ""


WRONG = {
    "unknown table": ("[lnt]\n", ":1:2: error unread.unknown: unknown key 'lnt': did you mean \"lint\"?"),
    "unknown key": ("[lint]\nignor = []\n", ":2:1: error unread.unknown: unknown key 'ignor': did you mean \"ignore\"?"),
    "unknown code": ('[lint]\nignore = ["lint.cookie-samesite"]\n', ":2:11: error input.value: there is no finding 'lint.cookie-samesite'"),
    "a code that is none to ignore": (
        '[lint]\nignore = ["input.syntax"]\n',
        ":2:11: error input.value: there is no finding 'input.syntax'",
    ),
    "unknown severity": ('[lint.severity]\n"lint.weight-sum" = "grave"\n', ":2:21: error input.value: 'grave' is no severity"),
    "severity of nothing": ('[lint.severity]\n"lint.x" = "info"\n', ":2:1: error input.value: there is no finding 'lint.x'"),
    "path of nothing": ('[lint.paths]\n"a/**" = ["lint.x"]\n', ":2:11: error input.value: there is no finding 'lint.x'"),
    "unknown option": (
        '[options]\ntraefick = "3.5"\n',
        ":2:1: error unread.unknown: no format has an option 'traefick'; did you mean 'traefik'?",
    ),
    "unknown format": (
        '[options.traefik-files]\ntraefik = "3.5"\n',
        ":1:10: error unread.unknown: there is no format 'traefik-files'; did you mean",
    ),
    "an option as a number": ("[options]\ntraefik = 3.5\n", ":2:11: error input.value: 'traefik' is a text, or true or false"),
    "a text for a list": ('[lint]\nexclude = "dev"\n', ":2:11: error input.value: 'lint.exclude' is a list, not a text"),
    "no TOML": ("[lint\n", ": error input.syntax: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_it_is_named_at_its_line_and_nothing_is_linted(case: str, lint: Lint, put: Put) -> None:
    text, said = WRONG[case]
    put({"a.yaml": COOKIE, ".pinfeather.toml": text})
    code, out, errors = lint()
    assert (code, out) == (2, "")
    assert said in errors.replace(str(errors.partition(".pinfeather.toml")[0]), "") or said in errors
    assert ".pinfeather.toml" in errors
    assert SAME_SITE not in errors


def test_everything_wrong_is_said_at_once(lint: Lint, put: Put) -> None:
    put({"a.yaml": COOKIE, ".pinfeather.toml": '[lint]\nignor = []\nignore = ["lint.x"]\n[options]\ny = "z"\n'})
    assert lint()[2].count(" error ") == 3


def test_an_option_of_a_wrong_value_is_named(lint: Lint, put: Put) -> None:
    put(
        {
            "a.yml": "http: {services: {s: {loadBalancer: {servers: [{url: http://a}]}}}}\n",
            ".pinfeather.toml": '[options]\ntraefik = "4.0"\n',
        }
    )
    code, _, errors = lint()
    assert code == 1
    assert "error input.option: the format 'traefik-file' and its option 'traefik'" in errors
