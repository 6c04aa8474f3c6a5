"""`traefik-file`: the laws over generated documents, what is read, what is refused where, and what is written."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1, sha256
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Code, Diagnostic, Path, Severity, Span
from pinfeather.model.document import Document
from pinfeather.model.features import Feature, Nothing
from pinfeather.model.normal import normal
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.testing.strategies import documents
from pinfeather.translators._syntax import yaml
from pinfeather.translators.contract import File, Parsed, Source, TextFile
from pinfeather.translators.traefik_file import TRANSLATOR, TraefikFile, file_tree

YAML, TOML = TraefikFile(), TraefikFile(syntax="toml")


def read(text: str | bytes, options: TraefikFile = YAML, name: str = "a.yml") -> Parsed:
    return TRANSLATOR.parse(Source((File(name, dedent(text) if isinstance(text, str) else text),)), options)


def document(text: str) -> Document:
    tree: Tree = yaml.read(dedent(text), "doc.yaml", yaml.CORE)[0].value
    assert isinstance(tree, dict)
    made, faults = build({"pinfeather": "v1", **tree})
    assert made is not None, faults
    return made


def written(made: Document, options: TraefikFile = YAML) -> str:
    (artifact,) = TRANSLATOR.emit(project(made, TRANSLATOR.supports(options)).kept, options).artifacts
    assert isinstance(artifact, TextFile)
    return artifact.text


def losses(made: Document, options: TraefikFile = YAML) -> dict[str, Path]:
    return {finding.code: finding.path for finding in project(made, TRANSLATOR.supports(options)).diagnostics}


def codes(found: Iterable[Diagnostic]) -> list[str]:
    return [str(finding.code) for finding in found]


def sound(parsed: Parsed) -> Document:
    assert parsed.document is not None
    assert [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR] == []
    return parsed.document


# The laws --------------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents(), st.sampled_from([YAML, TOML]))
def test_what_is_written_reads_back_and_is_written_the_same_again(made: Document, options: TraefikFile) -> None:
    kept = project(made, TRANSLATOR.supports(options)).kept
    emitted = TRANSLATOR.emit(kept, options)
    again = sound(TRANSLATOR.parse(emitted.source(), options))
    assert normal(again) == normal(kept)
    assert TRANSLATOR.emit(again, options) == emitted


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents())
def test_both_syntaxes_say_the_same_and_hold_no_action(made: Document) -> None:
    kept = project(made, TRANSLATOR.supports(YAML)).kept
    texts = [TRANSLATOR.emit(kept, options) for options in (YAML, TOML)]
    one, other = (TRANSLATOR.parse(text.source(), YAML).document for text in texts)
    assert one == other
    for text in texts:
        (artifact,) = text.artifacts
        assert isinstance(artifact, TextFile)
        assert "{{" not in artifact.text.replace("{{`{{`}}", "")
        assert TRANSLATOR.recognise(File("x", artifact.text)) is bool(file_tree(kept))


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
    "a rule of Traefik 2": (changed("Host(`a.io`)", "Host(`a`, `b`)"), Code.RULE, (4, 14), "1 argument"),
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


# What is read ----------------------------------------------------------------------------------------------------------


def test_a_router_with_one_more_condition_is_a_canary() -> None:
    parsed = read("""\
        http:
          routers:
            v2:
              rule: "Host(`a.io`) && HeaderRegexp(`Cookie`, `(?:^|;)[ \\\\t]*canary=v2[ \\\\t]*(?:;|$)`)"
              priority: 20
              service: s2
              entryPoints: [web]
            beta: {rule: "Host(`a.io`) && Header(`X`, `1`)", priority: 30, service: s2, entryPoints: [web]}
            v1: {rule: "Host(`a.io`)", priority: 10, service: s1, entryPoints: [web]}
            path: {rule: "Host(`a.io`) && PathPrefix(`/x`)", priority: 40, service: s1, entryPoints: [web]}
            lower: {rule: "Host(`a.io`) && Method(`PUT`)", priority: 5, service: s1, entryPoints: [web]}
            other: {rule: "Host(`a.io`) && Method(`GET`)", priority: 50, service: s1}
            tls: {rule: "Host(`a.io`) && Method(`GET`)", priority: 60, service: s1, entryPoints: [web], tls: true}
          services:
            s1: {loadBalancer: {servers: [{url: "http://a:1"}]}}
            s2: {loadBalancer: {servers: [{url: "http://b:1"}]}}
        """)
    routes = {route.name: route for route in sound(parsed).routes}
    assert sorted(routes) == ["lower", "other", "path", "tls", "v1"]
    canaries = [(canary.name, canary.priority, canary.to) for canary in routes["v1"].canaries]
    assert canaries == [("beta", 30, "s2"), ("v2", 20, "s2")]
    assert routes["v1"].canaries[1].when.model_dump(exclude_none=True) == {"cookie": {"name": "canary", "value": "v2"}}
    assert parsed.spans[("routes", 0, "canaries", 1, "priority")] == Span("a.yml", 5, 17, 5, 19)


def test_an_unset_priority_is_the_length_of_the_rule() -> None:
    parsed = read("""\
        http:
          routers:
            all: {rule: "PathPrefix(`/`)", service: s@docker}
            one: {rule: "Host(`a.io`)", service: s@docker}
            far: {rule: "Host(`b.io`) && Path(`/x`)", service: s@docker, priority: -7}
            zero: {rule: "Host(`c.io`) && Path(`/ü`)", service: s@docker, priority: 0}
        """)
    assert [route.priority for route in sound(parsed).routes] == [15, 12, -7, 27]
    said = [finding for finding in parsed.diagnostics if finding.code == Code.ASSUMED]
    assert [finding.message.split(" by ")[0] for finding in said] == ["'all' comes before 'one'", "'all' comes before 'far'"] or len(
        said
    ) == 1
    assert said[0].span == Span("a.yml", 3, 17, 3, 34)


def test_specific_routers_need_no_word_about_their_lengths() -> None:
    text = """\
        http:
          routers:
            one: {rule: "Host(`a.io`)", service: s@docker}
            two: {rule: "Host(`a.io`) && PathPrefix(`/api`)", service: s@docker}
            far: {rule: "Host(`longer.example.com`)", service: s@docker}
            tls: {rule: "Host(`a.io`) && Method(`GET`)", service: s@docker, tls: {}}
        """
    assert read(text).diagnostics == ()


def test_cookies_are_read_as_traefik_sends_them() -> None:
    parsed = read("""\
        http:
          services:
            backend: {loadBalancer: {servers: [], sticky: {cookie: true}}}
            odd: {loadBalancer: {servers: [], sticky: {cookie: {name: "my cookie;x", maxAge: 0, sameSite: Lax, path: ""}}}}
            none: {loadBalancer: {servers: [], sticky: {}}}
        """)
    held = {name: each.sticky.cookie for name, each in sound(parsed).services.items() if each.sticky is not None}
    assert set(held) == {"backend", "odd"}
    assert held["backend"] is not None
    assert held["odd"] is not None
    assert held["backend"].model_dump(exclude_none=True) == {"name": "_" + sha1(b"_TRAEFIK_BACKEND_backend@file").hexdigest()[:5]}
    assert held["odd"].model_dump(exclude_none=True) == {"name": "my_cookie_x", "same_site": "lax", "path": ""}
    assert codes(parsed.diagnostics) == [Code.ASSUMED, Code.ASSUMED, Code.STICKY_EMPTY]


def test_the_default_cookie_name_is_traefiks_own() -> None:
    """`lbdef@file` was seen on Traefik 3.7.15 as `_32ae0`."""
    parsed = read("http: {services: {lbdef: {loadBalancer: {servers: [], sticky: {cookie: {}}}}}}\n")
    sticky = sound(parsed).services["lbdef"].sticky
    assert sticky is not None
    assert sticky.cookie is not None
    assert sticky.cookie.name == "_32ae0"


def test_middlewares_are_typed_or_carried_to_the_letter() -> None:
    parsed = read("""\
        http:
          middlewares:
            a: {StripPrefix: {prefixes: [/x]}}
            b: {stripPrefix: {prefixes: [/x], forceSlash: true}}
            c: {headers: {customResponseHeaders: {X: 1}}}
            d: {headers: {customResponseHeaders: {X: 1}, frameDeny: true}}
            e: {ipWhiteList: {sourceRange: [10.0.0.0/8], ipStrategy: {depth: 2}}}
            f: {ipAllowList: {sourceRange: [10.0.0.0/8], ipStrategy: {excludedIPs: [10.0.0.1]}}}
            g: {plugin: {mine: {Deep: {er: [1, 2.5, "x"]}}}}
            h: {compress: true}
            i: {basicAuth: {users: ["u:$apr1$x"], realm: r}}
            j: {rateLimit: {average: 5, period: 90}}
        """)
    made = {name: each.model_dump(exclude_none=True, exclude_defaults=True) for name, each in sound(parsed).middlewares.items()}
    assert made == {
        "a": {"strip_prefix": {"prefixes": ("/x",)}},
        "b": {"other": {"kind": "stripPrefix", "config": {"prefixes": ["/x"], "forceSlash": True}}},
        "c": {"headers": {"response": {"X": "1"}}},
        "d": {"other": {"kind": "headers", "config": {"customResponseHeaders": {"X": 1}, "frameDeny": True}}},
        "e": {"ip_allow_list": {"source_ranges": ("10.0.0.0/8",), "depth": 2}},
        "f": {"other": {"kind": "ipAllowList", "config": {"sourceRange": ["10.0.0.0/8"], "ipStrategy": {"excludedIPs": ["10.0.0.1"]}}}},
        "g": {"other": {"kind": "plugin", "config": {"mine": {"Deep": {"er": [1, 2.5, "x"]}}}}},
        "h": {"compress": {}},
        "i": {"basic_auth": {"users": ("u:$apr1$x",), "realm": "r"}},
        "j": {"rate_limit": {"average": 5, "period": "90s"}},
    }


WHOLE = """\
http:
  routers:
    r:
      entrypoints: [web]
      rule: Host(`a.io`)
      Service: w@file
      middlewares: [m, auth@docker]
      priority: "7"
      tls:
        options: modern@file
        certResolver: le
        domains:
          - main: a.io
            sans: [b.io]
      observability: {accessLogs: false}
  services:
    w:
      weighted:
        services: [{name: s, weight: 9}, {name: x@docker}]
        sticky: {cookie: {name: v}}
    s:
      loadBalancer:
        servers: [{url: "http://10.0.0.1:80", weight: 2}]
        healthCheck: {path: /h, interval: 5}
        responseForwarding: {flushInterval: 10ms}
        serversTransport: t
  middlewares:
    m: {addPrefix: {prefix: /p}}
  serversTransports:
    t: {insecureSkipVerify: true}
tcp:
  routers:
    db: {rule: HostSNI(`db.io`), service: db, tls: {passthrough: true}}
  services:
    db: {loadBalancer: {servers: [{address: "10.0.0.1:5432"}], proxyProtocol: {}}}
tls:
  options:
    modern: {minVersion: VersionTLS13, clientAuth: {caFiles: [a.pem], clientAuthType: RequireAndVerifyClientCert}}
  certificates: [{certFile: a, keyFile: b}]
udp:
  routers: {u: {service: x}}
"""

SPANS: dict[Path, tuple[int, str]] = {
    ("routes", 0, "name"): (3, "r"),
    ("routes", 0, "hosts"): (5, "Host(`a.io`)"),
    ("routes", 0, "to"): (6, "w@file"),
    ("routes", 0, "middlewares", 1): (7, "auth@docker"),
    ("routes", 0, "priority"): (8, '"7"'),
    ("routes", 0, "tls", "options"): (10, "modern@file"),
    ("routes", 0, "tls", "domains", 0, "sans", 0): (14, "b.io"),
    ("routes", 0, "observability", "access_logs"): (15, "false"),
    ("services", "w", "split", 0, "weight"): (19, "9"),
    ("services", "w", "split", 1): (19, "{name: x@docker}"),
    ("services", "w", "sticky", "cookie", "name"): (20, "v"),
    ("services", "s", "servers", 0, "url"): (23, '"http://10.0.0.1:80"'),
    ("services", "s", "health_check", "interval"): (24, "5"),
    ("services", "s", "flush_interval"): (25, "10ms"),
    ("middlewares", "m", "add_prefix", "prefix"): (28, "/p"),
    ("tcp_routes", 0, "sni"): (33, "HostSNI(`db.io`)"),
    ("tcp_services", "db", "servers", 0, "address"): (35, '"10.0.0.1:5432"'),
    ("tls_options", "modern", "client_auth_ca_files", 0): (38, "a.pem"),
}


@pytest.mark.parametrize("path", SPANS, ids=lambda path: ".".join(map(str, path)))
def test_spans_are_exact(path: Path) -> None:
    span, (line, text) = read(WHOLE).spans[path], SPANS[path]
    assert (span.line, span.end_line) == (line, line)
    assert WHOLE.splitlines()[line - 1][span.column - 1 : span.end_column - 1] == text


def test_a_whole_file() -> None:
    parsed = read(WHOLE)
    made = sound(parsed).model_dump(exclude_none=True, exclude_defaults=True, mode="json")
    assert made["routes"] == [
        {
            "name": "r", "hosts": ["a.io"], "priority": 7, "entry_points": ["web"], "to": "w", "middlewares": ["m", "auth@docker"],
            "tls": {"options": "modern", "resolver": "le", "domains": [{"main": "a.io", "sans": ["b.io"]}]},
            "observability": {"access_logs": False},
        }
    ]  # fmt: skip
    assert made["services"]["w"] == {"split": [{"to": "s", "weight": 9}, {"to": "x@docker"}], "sticky": {"cookie": {"name": "v"}}}
    assert made["tcp_routes"] == [
        {"name": "db", "sni": ["db.io"], "priority": 16, "tls": {"terminate": False, "passthrough": True}, "to": "db"}
    ]
    assert made["tcp_services"] == {"db": {"servers": [{"address": "10.0.0.1:5432"}], "proxy_protocol": 2}}
    assert made["tls_options"]["modern"]["client_auth_ca_files"] == ["a.pem"]
    assert made["servers_transports"] == {"t": {"insecureSkipVerify": True}}
    assert [(finding.code, finding.span.line) for finding in parsed.diagnostics if finding.span] == [(Code.SCOPE, 39), (Code.SCOPE, 40)]


def test_the_same_in_toml() -> None:
    made = sound(read(WHOLE))
    (artifact,) = TRANSLATOR.emit(made, TOML).artifacts
    assert isinstance(artifact, TextFile)
    again = read(artifact.text, name="<stdin>")
    assert normal(sound(again)) == normal(made)
    bad = artifact.text.replace("certResolver", "certresolve")
    (finding,) = [finding for finding in read(bad, name="x.toml").diagnostics if finding.severity is Severity.ERROR]
    line = next(number for number, text in enumerate(bad.splitlines(), 1) if text.startswith("certresolve"))
    assert (finding.code, finding.span) == (Code.UNKNOWN, Span("x.toml", line, 1, line, 12))


def test_files_of_one_folder_are_one_configuration() -> None:
    one = File("1.yml", 'http: {routers: {r: {rule: "Path(`/`)", service: s, priority: 1}}}\n')
    two = File("2.toml", '[[http.services.s.loadBalancer.servers]]\nurl = "http://a:1"\n')
    made = sound(TRANSLATOR.parse(Source((one, two)), YAML))
    assert (made.routes[0].to, list(made.services)) == ("s", ["s"])
    twice = File("3.yml", 'http:\n  routers:\n    r: {rule: "Path(`/x`)", service: s}\n')
    parsed = TRANSLATOR.parse(Source((one, two, twice)), YAML)
    (finding,) = parsed.diagnostics
    assert (finding.code, finding.span) == (Code.NAME_CLASH, Span("3.yml", 3, 5, 3, 6))
    assert "1.yml, line 1" in finding.message
    assert parsed.document is not None
    assert len(parsed.document.routes) == 1


def test_rules_of_traefik_2() -> None:
    text = changed("Host(`a.io`)", "Host(`a.io`, `b.io`) && Headers(`X`, `1`)")
    for parsed in (
        read(text, TraefikFile(traefik="2.11")),
        read(text.replace("      service: s\n", "      service: s\n      ruleSyntax: v2\n")),
    ):
        (route,) = sound(parsed).routes
        assert route.hosts == ("a.io", "b.io")
    assert Code.ASSUMED in codes(read(router("ruleSyntax: V2")).diagnostics)
    assert Code.UNKNOWN in codes(read(router("ruleSyntax: v2"), TraefikFile(traefik="2.11")).diagnostics)


def test_escaped_braces_are_text() -> None:
    parsed = read(changed("Host(`a.io`)", "Path(`/{{`{{`}}x}}`)"))
    (route,) = sound(parsed).routes
    assert route.path is not None
    assert route.path.exact == "/{{x}}"
    assert "Path(`/{{`{{`}}x}}`)" in written(sound(parsed))


# What is written -------------------------------------------------------------------------------------------------------

TWO = """\
    routes:
      - {{name: a, hosts: [a.io], to: s, {a}}}
      - {{name: b, hosts: [a.io], path: {{prefix: /b}}, to: s, {b}}}
    services: {{s: {{servers: [{{url: "http://a:1"}}]}}}}
"""


@pytest.mark.parametrize(
    ("a", "b", "numbers", "near"),
    [
        ("tls: {}", "tls: {}", {"a": 10, "b": 20}, []),
        ("priority: 3", "priority: 9", {"a": 3, "b": 9}, []),
        ("priority: -3", "priority: -2", {"a": -3, "b": -2}, []),
        ("priority: 9", "priority: 3", {"a": 9, "b": 3}, []),
        ("priority: 5", "tls: {}", {"a": 5, "b": 1}, []),
        ("priority: 5", "priority: 5", {"a": 10, "b": 20}, [("routes", 0, "priority"), ("routes", 1, "priority")]),
        ("priority: 0", "priority: 20", {"a": 10, "b": 20}, [("routes", 0, "priority")]),
    ],
)
def test_priorities_are_written_and_kept_where_they_keep_the_order(a: str, b: str, numbers: dict[str, int], near: list[Path]) -> None:
    made = document(TWO.format(a=a, b=b))
    projection = project(made, TRANSLATOR.supports(YAML))
    assert [finding.path for finding in projection.diagnostics if finding.code == "near.priority"] == near
    tree = file_tree(projection.kept)
    assert isinstance(tree["http"], dict)
    routers = tree["http"]["routers"]
    assert isinstance(routers, dict)
    assert {name: each["priority"] for name, each in routers.items() if isinstance(each, dict)} == numbers


def test_a_canary_is_a_router_with_all_that_its_route_has() -> None:
    text = written(
        document("""\
            routes:
              - name: shop
                hosts: [a.io]
                entry_points: [web]
                middlewares: [auth@docker]
                tls: {resolver: le}
                observability: {metrics: false}
                canaries: [{when: {header: {name: X, value: "1"}}, to: s}]
                split: [{to: s, weight: 1}, {to: t, weight: 3}]
                sticky: {cookie: {name: v}}
            services:
              s: {servers: [{url: "http://a:1"}]}
              t: {servers: [{url: "http://b:1"}]}
              shop: {servers: [{url: "http://c:1"}]}
              shop-split: {servers: []}
            """)
    )
    tree = yaml.read(text, "x", yaml.GO_YAML_V3)[0].value
    assert isinstance(tree, dict)
    assert isinstance(tree["http"], dict)
    canary, route = tree["http"]["routers"].values()  # type: ignore[union-attr]
    assert isinstance(canary, dict)
    assert isinstance(route, dict)
    assert (canary.pop("service"), route.pop("service")) == ("s", "shop-split-2")
    assert (canary.pop("priority"), route.pop("priority")) == (20, 10)
    assert (canary.pop("rule"), route.pop("rule")) == ("Host(`a.io`) && Header(`X`, `1`)", "Host(`a.io`)")
    assert canary == route


def test_nothing_is_said_without_a_rule() -> None:
    text = written(document("routes: [{name: all, to: x@docker}]\ntcp_routes: [{name: t, to: x@docker}]\n"))
    assert "PathPrefix(`/`)" in text
    assert "HostSNI(`*`)" in text


LOST = {
    "loss.canary.binds": "routes: [{name: r, to: x@d, canaries: [{when: {method: GET}, to: y@d, binds: true}]}]",
    "loss.order.binding-first": "routes: [{name: r, split: [{to: x@d}, {to: y@d}], order: binding_first}]",
    "loss.weight-zero.keep": "services: {w: {split: [{to: x@d}], weight_zero: keep}}",
    "loss.when-down.redraw": "services: {w: {split: [{to: s}], when_down: redraw}, s: {servers: []}}",
    "loss.server.kubernetes": "services: {s: {servers: [{kubernetes: {service: x, port: 80}}]}}",
    "loss.tls.off": "routes: [{name: r, to: x@d, tls: {terminate: false}}]",
    "loss.tcp.sni": "tcp_routes: [{name: r, to: x@d, sni: [a.io]}]",
    "loss.middleware.other": "middlewares: {m: {other: {kind: sticky, config: {cookie: {}}}}}",
    "loss.middleware.headers": "middlewares: {m: {headers: {}}}",
    "loss.match.cookie-regex": 'routes: [{name: r, to: x@d, match: {cookie: {name: c, regex: "a|^b"}}}]',
    "loss.cookie.max-age": "services: {s: {servers: [], sticky: {cookie: {name: c, max_age: 0}}}}",
    "near.strategy": "services: {s: {servers: [], strategy: hrw, sticky: {cookie: {name: c}}}}",
    "carried.ports": "entry_points: {web: 80}",
    "carried.labels": "routes: [{name: r, to: x@d, metadata: {labels: {a: b}}}]",
}


@pytest.mark.parametrize("code", LOST)
def test_what_traefik_has_no_word_for(code: str) -> None:
    assert code in losses(document(LOST[code]))


def test_a_split_redraws_where_every_child_is_checked() -> None:
    made = document("services: {w: {split: [{to: s}], when_down: redraw}, s: {servers: [], health_check: {path: /h}}}")
    assert losses(made) == {}
    assert "healthCheck: {}" in written(made)
    assert normal(sound(read(written(made)))) == normal(made)


@pytest.mark.parametrize(
    ("version", "text", "code"),
    [
        ("3.2", "services: {s: {servers: [], sticky: {cookie: {name: c, path: /a}}}}", "loss.cookie.path"),
        ("3.3", "services: {s: {servers: [], sticky: {cookie: {name: c, domain: a.io}}}}", "loss.cookie.domain"),
        ("3.3", "services: {s: {servers: [], strategy: p2c}}", "loss.strategy"),
        ("3.5", "services: {s: {servers: [], strategy: hrw}}", "loss.strategy"),
        ("3.6", "routes: [{name: r, to: x@d, hosts: ['*.a.io']}]", "loss.match.host-wildcard"),
    ],
)
def test_versions(version: str, text: str, code: str) -> None:
    assert code in losses(document(text), TraefikFile.model_validate({"traefik": version}))
    assert code not in losses(document(text))


def test_traefik_2_is_read_only() -> None:
    table = TRANSLATOR.supports(TraefikFile(traefik="2.11"))
    assert set(table) == set(Feature)
    assert all(isinstance(support, Nothing) for support in table.values())


def test_every_feature_has_a_row() -> None:
    assert set(TRANSLATOR.supports(YAML)) == set(Feature)


def test_identity() -> None:
    made = document("""\
        routes: [{name: r, split: [{to: s}, {to: x@docker}]}]
        services: {s: {servers: [{url: "http://a:1"}]}, w: {split: [{to: s}]}}
        """)
    identity = TRANSLATOR.identity(made, YAML)

    def value(child: str) -> str:
        return sha256(child.encode()).hexdigest()[:16]

    assert identity.variants == {("r", "s"): value("s"), ("r", "x@docker"): value("x@docker"), ("w", "s"): value("s")}
    assert identity.servers == {("s", "http://a:1"): value("http://a:1")}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (GOOD, True),
        ("tls:\n  options:\n    a: {}\n", True),
        ("[http.routers.x]\n", True),
        ('{"http": {"routers": {}}}', True),
        ("services:\n  web:\n    image: x\n", False),
        ("pinfeather: v1\nroutes: []\nservices: {}\n", False),
        ("entryPoints:\n  web: {address: ':80'}\nhttp: 1\n", False),
        ("\0\xff", False),
    ],
)
def test_recognise(text: str, is_one: bool) -> None:
    assert TRANSLATOR.recognise(File("x", text)) is is_one
