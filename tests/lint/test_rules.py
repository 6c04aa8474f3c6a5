"""Rules of Traefik 2 and variables that nobody replaced: what is said of them, the fix, and the near misses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinfeather.translators._syntax.rule import parse_http
from pinfeather.translators._syntax.rule_v2 import parse_http_v2
from tests.lint.conftest import Lint, Put

FILE = """\
http:
  routers:
    r:
      rule: {rule}   # as it was
      service: app
  services:
    app:
      loadBalancer:
        servers: [{{url: "http://a:80"}}]
"""
OLD = {
    "two hosts": ("Host(`a.test`, `b.test`)", "Host(`a.test`) || Host(`b.test`)", "error"),
    "Headers": ("Headers(`X-A`, `b`)", "Header(`X-A`, `b`)", "error"),
    "HeadersRegexp": ("HeadersRegexp(`X-A`, `b+`)", "HeaderRegexp(`X-A`, `b+`)", "error"),
    "HostHeader": ("HostHeader(`a.test`)", "Host(`a.test`)", "error"),
    "two prefixes": ("Host(`a.test`) && PathPrefix(`/a`, `/b`)", "Host(`a.test`) && (PathPrefix(`/a`) || PathPrefix(`/b`))", "error"),
    "host template": ("HostRegexp(`{sub:[a-z]+}.a.test`)", "HostRegexp(`^(?:[a-z]+)\\.a\\.test$`)", "warning"),
    "path template": ("Path(`/{id:[0-9]+}`)", "PathRegexp(`^/(?:[0-9]+)$`)", "warning"),
    "prefix template": ("PathPrefix(`/{x}`)", "PathRegexp(`^/[^/]+`)", "warning"),
    "query as one": ("Query(`k=v`)", "Query(`k`, `v`)", "warning"),
}


@pytest.mark.parametrize("case", OLD)
def test_a_rule_of_traefik_2_is_said_and_written_anew(case: str, lint: Lint, put: Put, here: Path) -> None:
    old, new, severity = OLD[case]
    put({"a.yml": FILE.format(rule=old)})
    code, _, errors = lint()
    assert code == 1
    assert errors.startswith(f"a.yml:4:13: {severity} lint.v2-syntax: ")
    assert f"write {new}\n" in errors
    assert lint("--fix")[0] == 0
    assert (here / "a.yml").read_text() == FILE.format(rule=new)
    assert parse_http(new) == parse_http_v2(old)[0], "it means what the old one meant"


def test_escapes_of_double_quotes_are_kept(lint: Lint, put: Put, here: Path) -> None:
    put({"a.yml": FILE.format(rule='"HostRegexp(`{s:[a-z]+}.a.test`)"')})
    assert lint("--fix")[0] == 0
    assert (here / "a.yml").read_text() == FILE.format(rule='"HostRegexp(`^(?:[a-z]+)\\\\.a\\\\.test$`)"')


def test_a_host_regex_is_bound(lint: Lint, put: Put, here: Path) -> None:
    put({"a.yml": FILE.format(rule=r"HostRegexp(`[a-z]+\.a\.test`)")})
    assert "lint.v2-syntax: the regex '[a-z]+\\\\.a\\\\.test' is found anywhere" in lint()[2]
    assert lint("--fix")[0] == 0
    assert (here / "a.yml").read_text() == FILE.format(rule=r"HostRegexp(`^[a-z]+\.a\.test$`)")


SOUND = [
    "Host(`a.test`) || Host(`b.test`)", "PathRegexp(`^/[0-9]{2,3}$`)", "HostRegexp(`^[a-z]{2}\\.test$`)", "Query(`k`, `a=b`)", "Query(`k`)",
    "Header(`X-A`, `${b}`)", "Path(`/$metadata`)", "PathPrefix(`/a$`)",
]  # fmt: skip


@pytest.mark.parametrize("rule", SOUND)
def test_a_rule_of_traefik_3_is_left_alone(rule: str, lint: Lint, put: Put) -> None:
    put({"a.yml": FILE.format(rule=rule)})
    assert lint()[0] == 0


def test_rules_of_traefik_2_are_sound_where_they_are_meant(lint: Lint, put: Put) -> None:
    put({"a.yml": FILE.format(rule="Host(`a.test`, `b.test`)"), ".pinfeather.toml": '[options]\ntraefik = "2.11"\n'})
    assert lint()[0] == 0
    put({"a.yml": FILE.format(rule="Host(`a.test`, `b.test`)\n      ruleSyntax: v2"), ".pinfeather.toml": ""})
    assert lint()[0] == 0


UNEXPANDED = {"host": "Host(`${DOMAIN}`)", "part of a host": "Host(`shop.$DOMAIN`)", "path": "PathPrefix(`/${BASE}`)"}


@pytest.mark.parametrize("case", UNEXPANDED)
def test_a_variable_that_nobody_replaced_is_named(case: str, lint: Lint, put: Put) -> None:
    put({"a.yml": FILE.format(rule=UNEXPANDED[case])})
    code, _, errors = lint()
    assert code == 1
    assert " lint.unexpanded: " in errors
