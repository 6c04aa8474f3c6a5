"""`docker-labels`: bad input, named where it stands, with its repair where there is one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather.model.diagnostics import Code, Diagnostic, Edit, Severity
from pinfeather.translators.contract import File, Parsed, Source
from pinfeather.translators.docker_labels import TRANSLATOR, DockerLabels


def read(text: str | bytes, name: str = "compose.yml", **options: object) -> Parsed:
    return TRANSLATOR.parse(Source((File(name, text),)), DockerLabels.model_validate(options))


def errors(parsed: Parsed) -> list[Diagnostic]:
    return [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR]


GOOD = """\
services:
  web:
    labels:
      - "traefik.http.routers.r.rule=Host(`a.io`)"
      - "traefik.http.services.s.loadbalancer.server.port=80"
"""


def label(text: str) -> str:
    """One more label, in line 6."""
    return f'{GOOD}      - "{text}"\n'


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


REJECTED = Code.LABELS_REJECTED
BAD: dict[str, tuple[str | bytes, str, tuple[int, int], str]] = {
    "a key that Traefik does not know": (label("traefik.http.routers.r.priorty=3"), REJECTED, (6, 9), "did you mean 'priority'?"),
    "more parts than any key has": (label(f"traefik.http.middlewares.m.plugin.{'x.' * 5000}x=1"), Code.TOO_DEEP, (6, 9), "32 parts"),
    "another root": (label("Traefik.http.routers.r.priority=3"), REJECTED, (6, 9), "invalid label root"),
    "a list of servers": (label("traefik.http.services.s.loadbalancer.servers[0].url=http://a"), REJECTED, (6, 9), "node: servers"),
    "a truth that Go does not know": (label("traefik.http.services.s.loadbalancer.passhostheader=yes"), REJECTED, (6, 9), "true or false"),
    "a text for a number": (label("traefik.http.services.s.loadbalancer.sticky.cookie.maxage=1h"), REJECTED, (6, 9), "a whole number"),
    "a text for a length of time": (
        label("traefik.http.services.s.loadbalancer.healthcheck.interval=soon"),
        REJECTED,
        (6, 9),
        "a duration",
    ),
    "a key that has keys": (label("traefik.http.middlewares.m.headers=true"), REJECTED, (6, 9), "standalone"),
    "an empty part": (label("traefik.http..x=1"), REJECTED, (6, 9), "invalid element"),
    "a wrong enable": (label("traefik.enable=yes"), REJECTED, (6, 9), "true or false"),
    "enabled": (label("traefik.enabled=true"), REJECTED, (6, 9), "'enable'"),
    "a wrong key of the provider": (label("traefik.docker.net=x"), REJECTED, (6, 9), "node: net"),
    "a weighted service": (label("traefik.http.services.w.weighted.services[0].name=s"), REJECTED, (6, 9), "do not exist in labels"),
    "a URL and a port": (label("traefik.http.services.s.loadbalancer.server.url=http://a"), REJECTED, (6, 9), "a URL and a port"),
    "a cookie that browsers refuse": (
        GOOD + '      - "traefik.http.services.s.loadbalancer.sticky.cookie.samesite=none"\n',
        Code.SAME_SITE_NONE,
        (6, 9),
        "Secure",
    ),
    "a rule that is none": (changed("Host(`a.io`)", "Hots(`a.io`)"), Code.RULE, (4, 38), "'Hots'"),
    "a rule of Traefik 2": (changed("Host(`a.io`)", "Host(`a.io`, `b.io`)"), Code.V2_SYNTAX, (4, 9), "Traefik 2"),
    "a port that is none": (changed("=80", "=http"), Code.VALUE, (5, 9), "a whole number"),
    "a middleware that is nowhere": (label("traefik.http.routers.r.middlewares=gone"), Code.REFERENCE, (6, 9), "'gone'"),
    "a service that is nowhere": (label("traefik.http.routers.r.service=gone"), Code.REFERENCE, (6, 9), "'gone'"),
    "a bare dollar": (label("traefik.http.middlewares.m.basicauth.users=a:$1x"), Code.SYNTAX, (6, 9), "write `$$`"),
    "a label that is a list": (
        GOOD.replace('      - "traefik.http.s', '      - [x]\n      - "traefik.http.s'),
        Code.VALUE,
        (5, 9),
        "is a text",
    ),
    "labels that are a text": ("services: {web: {labels: x}}\n", Code.VALUE, (1, 26), "a list of texts or a mapping"),
    "a service that is a text": ("services: {web: x}\n", Code.VALUE, (1, 12), "a mapping"),
    "a name that compose refuses": ("services: {a b: {image: x}}\n", Code.VALUE, (1, 12), "no name of a service"),
    "no compose file": ("routes: []\n", Code.FORMAT, (1, 1), "no compose file"),
    "services that are a list": ("services: []\n", Code.VALUE, (1, 11), "a mapping"),
    "a container that is none": ('[{"Config": {"Labels": {}}}, {"x": 1}]', Code.VALUE, (1, 30), "no `Config`"),
    "a line that is no label": ("traefik.http.routers.r.rule=Host(`a`)\nwhat is this\n", Code.SYNTAX, (2, 1), "no label"),
    "a backtick that the shell runs": ('docker run --label "traefik.http.routers.r.rule=Host(`a`)" x\n', Code.SYNTAX, (1, 54), "backticks"),
    "a quote without an end": ("docker run --label 'x\n", Code.SYNTAX, (1, 20), "no end"),
    "half a file": (GOOD + "  api:\n    labels: [\n", Code.SYNTAX, (8, 1), ""),
    "a NUL": ("services:\0", Code.ENCODING, (1, 10), "U+0000"),
    "no UTF-8": (b"services:\n  \xff", Code.ENCODING, (2, 3), "UTF-8"),
    "nothing": ("", Code.EMPTY, (1, 1), "nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_where_it_stands(case: str) -> None:
    text, code, place, words = BAD[case]
    (finding,) = errors(read(text))
    assert finding.code == code
    assert words in finding.message + finding.instead
    assert finding.span is not None
    assert (finding.span.line, finding.span.column) == place


def test_the_good_file_has_nothing_to_be_said_about() -> None:
    assert read(GOOD).diagnostics == ()


def test_a_rejected_label_takes_all_routes_of_its_container_and_no_other() -> None:
    parsed = read(
        label("traefik.http.routers.q.rulle=Host(`b.io`)")
        + GOOD.replace("services:\n  web", "  api").replace(".r.", ".t.").replace(".s.", ".u.")
    )
    (finding,) = errors(parsed)
    assert "its routes are gone: r, q" in finding.message
    assert parsed.document is not None
    assert [route.name for route in parsed.document.routes] == ["t"]


def test_all_errors_of_a_run_are_told() -> None:
    text = label("traefik.http.routers.r.priorty=3") + "      - 'traefik.http.services.s.lodbalancer.x=1'\n"
    parsed = TRANSLATOR.parse(Source((File("a.yml", text), File("b.yml", "services: []\n"))), DockerLabels())
    assert sorted((str(finding.code), finding.span.file if finding.span else "") for finding in errors(parsed)) == [
        (Code.VALUE, "b.yml"), (REJECTED, "a.yml"), (REJECTED, "a.yml"),
    ]  # fmt: skip


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(change: object) -> None:
    assert callable(change)
    assert read(str(change(GOOD)).encode()).document == read(GOOD).document
    (finding,) = errors(read(str(change(label("traefik.http.routers.r.priorty=3"))).encode()))
    assert finding.span is not None
    assert finding.span.line == 6


# Repairs ---------------------------------------------------------------------------------------------------------------


def repaired(text: str, found: list[Diagnostic]) -> str:
    """The text with every first repair, from the end on."""
    lines = text.splitlines(keepends=True)
    edits: list[Edit] = [edit for finding in found for fix in finding.fixes[:1] for edit in fix.edits]
    assert edits
    for edit in sorted(edits, key=lambda each: each.span, reverse=True):
        span = edit.span
        if edit.expects is not None:
            assert lines[span.line - 1][span.column - 1 : span.end_column - 1] == edit.expects
        head, tail = (
            lines[span.line - 1][: span.column - 1],
            lines[span.end_line - 1][span.end_column - 1 :] if span.end_line <= len(lines) else "",
        )
        lines[span.line - 1 : span.end_line] = [head + edit.text + tail]
    return "".join(lines)


STYLES = {
    "list": GOOD + "      - traefik.http.routers.r.priorty=3 # why\n",
    "single quotes": GOOD + "      - 'traefik.http.routers.r.priorty=3'\n",
    "map": 'services:\n  web:\n    labels:\n      traefik.http.routers.r.rule: Host(`a.io`)\n      "traefik.http.routers.r.priorty": 3\n',
    "flow": "services: {web: {labels: ['traefik.http.routers.r.rule=Host(`a.io`)', traefik.http.routers.r.priorty=3]}}\n",
    "run": "docker run -l 'traefik.http.routers.r.rule=Host(`a.io`)' \\\n  --label traefik.http.routers.r.priorty=3 --name web x\n",
    "lines": "traefik.http.routers.r.rule=Host(`a.io`)\ntraefik.http.routers.r.priorty=3\n",
}


@pytest.mark.parametrize("style", STYLES)
def test_a_misspelt_key_comes_with_its_repair(style: str) -> None:
    text = STYLES[style]
    found = errors(read(text))
    new = repaired(text, found)
    assert new == text.replace("priorty", "priority")
    again = read(new)
    assert errors(again) == []
    assert again.document is not None
    assert [route.priority for route in again.document.routes] == [3]


@pytest.mark.parametrize("style", STYLES)
def test_a_refused_cookie_comes_with_its_repair(style: str) -> None:
    text = STYLES[style].replace("routers.r.priorty=3", "services.s.loadbalancer.sticky.cookie.samesite=none")
    text = text.replace('routers.r.priorty": 3', 'services.s.loadbalancer.sticky.cookie.samesite": "none"')
    again = read(repaired(text, errors(read(text))))
    assert errors(again) == []
    assert again.document is not None
    sticky = again.document.services["s"].sticky
    assert sticky is not None
    assert sticky.cookie is not None
    assert (sticky.cookie.secure, sticky.cookie.same_site) == (True, "none")


STICKY = """\
services:
  one:
    labels:
      - "traefik.http.routers.{a}.rule=Host(`a.io`)"
      - "traefik.http.routers.{a}.entrypoints=web"
      - "traefik.http.services.{a}.loadbalancer.server.port=80"
      - "traefik.http.routers.{a}.middlewares={m}sticky-sessions" # stickiness
      - "traefik.http.middlewares.sticky-sessions.sticky.cookie.name=srv" # its name
      - "traefik.http.middlewares.sticky-sessions.sticky.cookie.maxage=3600"
  two:
    labels:
      traefik.http.routers.{b}.rule: Host(`a.io`)
      traefik.http.routers.{b}.entrypoints: web
      traefik.http.services.{b}.loadbalancer.server.port: 80
      traefik.http.routers.{b}.middlewares: {m}sticky-sessions
      traefik.http.middlewares.sticky-sessions.sticky.cookie.name: srv
      traefik.http.middlewares.sticky-sessions.sticky.cookie.maxage: 3600
"""


@pytest.mark.parametrize("also", ["", "auth@file,"])
@pytest.mark.parametrize("second", ["app", "replica"])
def test_the_sticky_middleware_becomes_one_service_of_two_containers(second: str, also: str) -> None:
    text = STICKY.format(a="app", b=second, m=also)
    parsed = read(text)
    assert [finding.code for finding in errors(parsed)] == [Code.STICKY_MIDDLEWARE] * 2
    assert parsed.document is not None
    assert parsed.document.routes == ()
    new = repaired(text, errors(parsed))
    again = read(new)
    assert errors(again) == []
    assert again.document is not None
    (route,) = again.document.routes
    assert (route.name, route.to, route.middlewares) == ("app", "app", ("auth@file",) if also else ())
    (service,) = again.document.services.values()
    assert service.model_dump(exclude_none=True, exclude_defaults=True) == {
        "servers": ({"container": {"name": "one", "port": 80}}, {"container": {"name": "two", "port": 80}}),
        "sticky": {"cookie": {"name": "srv", "max_age": 3600}},
    }
    assert "# its name" in new


def test_traefik_2_knows_no_max_age() -> None:
    text = STICKY.format(a="app", b="replica", m="")
    again = read(repaired(text, errors(read(text, traefik="2.11"))), traefik="2.11")
    assert errors(again) == []
    assert again.document is not None
    (service,) = again.document.services.values()
    assert service.sticky is not None
    assert service.sticky.cookie is not None
    assert service.sticky.cookie.max_age is None


# Whatever the text -----------------------------------------------------------------------------------------------------

_PIECES = (
    *STYLES.values(), STICKY, "${", "${X:-d}", "$$", "[0]", ".", "=", "traefik.http.routers.", "traefik.http.services.w.weighted=true", "'", '"', "`",
    "\\", "\n", "  ", "- ", "{", "}", "labels:", "deploy:", "services:", "null", "&a", "*a", "<<: ", "docker run -l ", "\ufdd0", "\ufdd01\ufdd1", "é",
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=4), max_size=8), st.integers(0, 400), st.integers(0, 60), st.booleans())
def test_no_text_breaks_the_reader(pieces: list[str], at: int, length: int, swarm: bool) -> None:
    text = "".join(pieces)
    for each in (text, text[:at] + text[at + length :]):
        parsed = read(each, swarm=swarm, env="X=1\n")
        assert parsed.document is not None or errors(parsed)
        TRANSLATOR.recognise(File("x", each))
