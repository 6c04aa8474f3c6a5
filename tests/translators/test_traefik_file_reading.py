"""`traefik-file`: what is read, and from where."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1
from textwrap import dedent

import pytest

from pinfeather.model.diagnostics import Code, Diagnostic, Path, Severity, Span
from pinfeather.model.document import Document
from pinfeather.model.normal import normal
from pinfeather.model.project import project
from pinfeather.translators.contract import File, Parsed, Source, TextFile
from pinfeather.translators.traefik_file import TRANSLATOR, TraefikFile

YAML, TOML = TraefikFile(), TraefikFile(syntax="toml")


def read(text: str | bytes, options: TraefikFile = YAML, name: str = "a.yml") -> Parsed:
    return TRANSLATOR.parse(Source((File(name, dedent(text) if isinstance(text, str) else text),)), options)


def written(made: Document, options: TraefikFile = YAML) -> str:
    (artifact,) = TRANSLATOR.emit(project(made, TRANSLATOR.supports(options)).kept, options).artifacts
    assert isinstance(artifact, TextFile)
    return artifact.text


def codes(found: Iterable[Diagnostic]) -> list[str]:
    return [str(finding.code) for finding in found]


def sound(parsed: Parsed) -> Document:
    assert parsed.document is not None
    assert [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR] == []
    return parsed.document


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
