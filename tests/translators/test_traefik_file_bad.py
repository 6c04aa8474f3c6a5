"""`traefik-file`: bad input, named where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import dedent

import pytest

from pinfeather.model.diagnostics import Code, Diagnostic, Severity
from pinfeather.model.document import Document
from pinfeather.translators.contract import File, Parsed, Source
from pinfeather.translators.traefik_file import TRANSLATOR, TraefikFile

YAML, TOML = TraefikFile(), TraefikFile(syntax="toml")


def read(text: str | bytes, options: TraefikFile = YAML, name: str = "a.yml") -> Parsed:
    return TRANSLATOR.parse(Source((File(name, dedent(text) if isinstance(text, str) else text),)), options)


def codes(found: Iterable[Diagnostic]) -> list[str]:
    return [str(finding.code) for finding in found]


def sound(parsed: Parsed) -> Document:
    assert parsed.document is not None
    assert [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR] == []
    return parsed.document


# Bad input -------------------------------------------------------------------------------------------------------------

GOOD = """\
http:
  routers:
    r:
      rule: "Host(`a.io`)"
      service: s
  services:
    s:
      loadBalancer:
        servers:
          - url: http://10.0.0.1:80
        sticky:
          cookie:
            name: srv
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def router(line: str) -> str:
    return changed("      service: s\n", f"      service: s\n      {line}\n")


def cookie(line: str) -> str:
    return GOOD + f"            {line}\n"


def middleware(lines: str) -> str:
    return GOOD + f"  middlewares:\n    m:\n      {lines}\n"


def service(lines: str) -> str:
    return GOOD.replace("  services:\n", f"  services:\n    w:\n      {lines}\n")


BAD: dict[str, tuple[str | bytes, str, tuple[int, int], str]] = {
    "a wrong key": (router("priorty: 3"), Code.UNKNOWN, (6, 7), 'did you mean "priority"?'),
    "a wrong key below": (cookie("samesite_: lax"), Code.UNKNOWN, (14, 13), 'did you mean "sameSite"?'),
    "a section that is none": ("http:\n  router: {}\n", Code.UNKNOWN, (2, 3), 'did you mean "routers"?'),
    "a cookie that browsers refuse": (cookie("sameSite: none"), Code.SAME_SITE_NONE, (14, 23), "Secure"),
    "a prefix that browsers refuse": (changed("name: srv", "name: __Host-x"), Code.COOKIE, (13, 13), "needs Secure"),
    "a sameSite that is none": (cookie("sameSite: on"), Code.COOKIE, (14, 23), "without it"),
    "a truth that Go does not know": (cookie("secure: yes"), Code.VALUE, (14, 21), "true or false"),
    "a text for a number": (cookie("maxAge: 1h"), Code.VALUE, (14, 21), "a whole number"),
    "a regex that RE2 refuses": (changed("Host(`a.io`)", "Host(`a`) && PathRegexp(`(?!x)`)"), Code.RULE, (4, 38), "RE2 refuses"),
    "a matcher that is none": (changed("Host(`a.io`)", "Host(`a`) || Hots(`b`)"), Code.RULE, (4, 27), "'Hots'"),
    "a rule of Traefik 2": (changed("Host(`a.io`)", "Host(`a`, `b`)"), Code.V2_SYNTAX, (4, 13), "Traefik 3 refuses it"),
    "no rule": (changed('      rule: "Host(`a.io`)"\n', ""), Code.RULE, (4, 7), "no rule"),
    "no service": (changed("      service: s\n", ""), Code.VALUE, (4, 7), "no service"),
    "a service that is nowhere": (changed("service: s\n", "service: ss\n"), Code.REFERENCE, (5, 16), "'ss'"),
    "a middleware that is nowhere": (router("middlewares: [x@docker, gone]"), Code.REFERENCE, (6, 31), "'gone'"),
    "a split to nowhere": (service("weighted: {services: [{name: s}, {name: t}]}"), Code.REFERENCE, (8, 47), "'t'"),
    "weights that sum to nothing": (service("weighted: {services: [{name: s, weight: 0}]}"), Code.WEIGHTS, (8, 7), "sum to nothing"),
    "a circle": (service("weighted: {services: [{name: w}]}"), Code.REFERENCE, (8, 7), "circle"),
    "one cookie on two levels": (
        service("weighted: {services: [{name: s}], sticky: {cookie: {name: srv}}}"),
        Code.COOKIE_NESTED,
        (8, 65),
        "each overwrites the other",
    ),
    "two kinds of service": (service("weighted: {services: []}\n      loadBalancer: {servers: []}"), Code.VALUE, (8, 7), "two kinds"),
    "a service without a noun": (service("mirroring: {service: s}"), Code.UNSUPPORTED, (8, 7), "mirroring"),
    "a strategy that is none": (changed("        servers:", "        strategy: rr\n        servers:"), Code.VALUE, (9, 19), "'rr'"),
    "a URL that is none": (changed("http://10.0.0.1:80", "10.0.0.1:80"), Code.VALUE, (10, 18), "not a server's URL"),
    "the middleware `sticky`": (middleware("sticky: {cookie: {name: x}}"), Code.STICKY_MIDDLEWARE, (16, 7), "refuses the whole file"),
    "a middleware of no kind": (middleware("adPrefix: {prefix: /x}"), Code.UNKNOWN, (16, 7), 'did you mean "addPrefix"?'),
    "a middleware of two kinds": (middleware("compress: {}\n      retry: {attempts: 2}"), Code.VALUE, (16, 7), "one kind"),
    "an empty middleware": (middleware("headers: {}"), Code.VALUE, (16, 16), "refuses the whole file"),
    "a router below a router": (router("parentRefs: [x]"), Code.UNSUPPORTED, (6, 7), "routers below routers"),
    "a key in two cases": (GOOD + "  Routers: {x: {}}\n", Code.DUPLICATE_KEY, (14, 3), "case does not count"),
    "a key twice": (GOOD + "  services: {x: {}}\n", Code.DUPLICATE_KEY, (14, 3), "twice"),
    "an action": (GOOD + '# {{ env "HOME" }}\n', Code.ACTION, (14, 3), "Go-template"),
    "a second document": (GOOD + "---\nhttp: {}\n", Code.SYNTAX, (14, 1), "the first one"),
    "an empty file": ("", Code.EMPTY, (1, 1), "nothing in it"),
    "no mapping": ("- a\n", Code.VALUE, (1, 1), "a mapping"),
    "200 KB of [": ("[" * 200_000, Code.TOO_DEEP, (1, 65), "nested"),
    "a NUL": ("http:\0", Code.ENCODING, (1, 6), "U+0000"),
    "bytes that are no UTF-8": (b"http:\n  \xff", Code.ENCODING, (2, 3), "not UTF-8"),
    "an alias bomb": (
        "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]\n" for n in range(9)),
        Code.ALIASES,
        (6, 0),
        "alias",
    ),
}


@pytest.mark.parametrize(("text", "code", "place", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_named_where_it_stands(text: str | bytes, code: str, place: tuple[int, int], words: str) -> None:
    errors = [finding for finding in read(text).diagnostics if finding.severity is Severity.ERROR]
    (finding, *more) = errors
    assert more == []
    assert finding.code == code
    assert words in finding.message + finding.instead
    assert finding.span is not None
    assert finding.span.line == place[0] or code == Code.ALIASES
    assert place[1] in (0, finding.span.column)


def test_the_good_file_has_nothing_to_be_said_about() -> None:
    assert read(GOOD).diagnostics == ()


def test_what_cannot_be_read_leaves_the_rest() -> None:
    text = """\
        http:
          routers:
            lost: {rule: "Path(`/a`)", service: top}
            guarded: {rule: "Path(`/b`)", service: s, middlewares: [chained]}
            kept: {rule: "Path(`/c`)", service: s}
          services:
            s: {loadBalancer: {servers: [{url: "http://a:1"}]}}
            mirror: {mirroring: {service: s}}
            top: {weighted: {services: [{name: s}, {name: mirror}]}}
          middlewares:
            gone: {unheard: {of: it}}
            chained: {chain: {middlewares: [gone]}}
        """
    parsed = read(text)
    assert sorted(codes(parsed.diagnostics)) == [Code.UNKNOWN, Code.UNSUPPORTED]
    assert parsed.document is not None
    assert [route.name for route in parsed.document.routes] == ["kept"]
    assert list(parsed.document.services) == ["s"]
    assert parsed.document.middlewares == {}


def test_a_refused_cookie_comes_with_its_repair() -> None:
    for text in (cookie("sameSite: none"), cookie("secure: false\n            sameSite: none"), FLOW):
        (finding,) = read(text).diagnostics
        assert finding.code == Code.SAME_SITE_NONE
        (edit,) = finding.fixes[0].edits
        lines = text.splitlines(keepends=True)
        line = lines[edit.span.line - 1]
        lines[edit.span.line - 1] = line[: edit.span.column - 1] + edit.text + line[edit.span.end_column - 1 :]
        repaired = sound(read("".join(lines)))
        (name, held), *_ = repaired.services.items()
        assert held.sticky is not None, name
        assert held.sticky.cookie is not None
        assert (held.sticky.cookie.secure, held.sticky.cookie.same_site) == (True, "none")


FLOW = "http: {services: {s: {loadBalancer: {servers: [], sticky: {cookie: {name: x, sameSite: none}}}}}}\n"
