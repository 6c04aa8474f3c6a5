"""What is read of Voyager Ingresses, and what is said about the rest."""

from __future__ import annotations

import pytest

from pinfeather.model.diagnostics import Diagnostic, Severity
from pinfeather.model.document import Document
from pinfeather.model.project import project
from pinfeather.translators import canonical, voyager
from pinfeather.translators.contract import File, Parsed, Source

OPTIONS = voyager.VoyagerOptions()
HEAD = """\
apiVersion: voyager.appscode.com/v1
kind: Ingress
metadata:
  name: shop
  annotations: {NOTES}
spec:
"""
PATHS = """\
  rules:
    - host: a.io
      http:
        paths:
          - path: /admin
            backend: {service: {name: s1, port: {number: 80}}}
          - backend: {name: plain, service: {name: s2.other, port: {name: http}}}
"""


def parse(text: str) -> Parsed:
    """Without the notes about ports, which nearly every file gets."""
    parsed = voyager.parse(Source((File("x.yaml", text),)), OPTIONS)
    return parsed._replace(diagnostics=tuple(each for each in parsed.diagnostics if not _of_ports(each)))


def _of_ports(each: Diagnostic) -> bool:
    return each.severity is Severity.INFO and ("without a port" in each.message or "has no name" in each.message)


def read(spec: str = PATHS, notes: str = "") -> Document:
    parsed = parse(HEAD.replace("NOTES", notes) + spec)
    assert parsed.document is not None, parsed.diagnostics
    return parsed.document


def found(spec: str = PATHS, notes: str = "") -> dict[str, Diagnostic]:
    return {str(each.code): each for each in parse(HEAD.replace("NOTES", notes) + spec).diagnostics}


# Routes ----------------------------------------------------------------------------------------------------------------


def test_routes_services_and_their_names() -> None:
    document = read()
    assert [(route.name, route.hosts, route.to, route.entry_points) for route in document.routes] == [
        ("a.io-admin", ("a.io",), "s1", ()),
        ("a.io", ("a.io",), "plain", ()),
    ]
    assert document.routes[0].path is not None
    assert document.routes[0].path.prefix == "/admin"
    assert document.routes[0].metadata is not None
    assert document.routes[0].metadata.object == "shop"
    server = document.services["plain"].servers[0].kubernetes  # type: ignore[union-attr]
    assert (server.service, server.namespace, server.port) == ("s2", "other", "http")


def test_voyagers_sort_decides_whatever_the_order_in_the_file() -> None:
    rules = [("'*'", "/x"), ("'*.a.io'", "/"), ("x.a.io", "/"), ("x.a.io", "/b/c"), ("x.a.io", "/b")]
    text = "  rules:\n" + "".join(
        f"    - {{host: {host}, http: {{paths: [{{path: {path}, backend: {{service: {{name: s, port: {{number: 80}}}}}}}}]}}}}\n"
        for host, path in rules
    )
    document = read(text)
    order = sorted(document.routes, key=lambda route: -int(route.priority or 0))
    asked = [(*route.hosts, route.path.prefix if route.path else None) for route in order]
    assert asked == [("x.a.io", "/b/c"), ("x.a.io", "/b"), ("x.a.io", "/"), ("*.a.io", "/"), ("/x",)]


def test_ports_and_their_names() -> None:
    text = PATHS.replace("      http:\n", "      http:\n        port: 8080\n")
    assert {route.entry_points for route in read(text).routes} == {("port-8080",)}
    named = voyager.VoyagerOptions(entry_points="web=80,alt=8080")
    parsed = voyager.parse(Source((File("x", HEAD.replace("NOTES", "") + text),)), named)
    assert parsed.document is not None
    assert {route.entry_points for route in parsed.document.routes} == {("alt",)}
    wrong = found(text.replace("8080", "'8080'"))
    assert "input.value" in wrong  # v1 wants a number
    old = HEAD.replace("/v1\n", "/v1beta1\n").replace("NOTES", "") + text.replace("8080", "'8080'")
    old = old.replace("{service: {name: s1, port: {number: 80}}}", "{serviceName: s1, servicePort: '80'}")
    document = parse(
        old.replace("{name: plain, service: {name: s2.other, port: {name: http}}}", "{serviceName: s2, servicePort: web}")
    ).document
    assert document is not None
    assert [service.servers[0].kubernetes.port for service in document.services.values()] == [80, "web"]  # type: ignore[union-attr]


def test_what_was_assumed_of_ports_is_said() -> None:
    text = HEAD.replace("NOTES", "") + PATHS + "    - {tcp: {port: 9898, backend: {service: {name: db, port: {number: 1}}}}}\n"
    parsed = voyager.parse(Source((File("x.yaml", text),)), OPTIONS)
    assert [(each.code, each.severity, each.message.partition(":")[0]) for each in parsed.diagnostics] == [
        ("lint.assumed", Severity.INFO, "a rule without a port"),
        ("lint.assumed", Severity.INFO, "port 9898 has no name"),
    ]


def test_tls_by_host_and_notls() -> None:
    tls = "  tls: [{hosts: [a.io], secretName: cert}]\n"
    document = read(tls + PATHS, 'ingress.appscode.com/hsts: "false"')
    assert {route.tls.secret for route in document.routes if route.tls} == {"cert"}
    assert all(route.tls is None for route in read(tls + PATHS.replace("      http:\n", "      http:\n        noTLS: true\n")).routes)
    # `*.b.io` covers the rule `b.io`, and not `x.b.io`
    wide = "  tls: [{hosts: ['*.a.io'], secretName: cert}]\n"
    assert all(route.tls is not None for route in read(wide + PATHS).routes)
    assert all(route.tls is None for route in read(wide + PATHS.replace("a.io", "x.a.io")).routes)
    assert "lint.assumed" in found(tls + PATHS)


def test_a_default_backend_comes_last() -> None:
    document = read("  defaultBackend: {service: {name: rest, port: {number: 80}}}\n" + PATHS)
    last = min(document.routes, key=lambda route: int(route.priority or 0))
    assert (last.name, last.hosts, last.path, last.to) == ("default", (), None, "rest")
    pinned = "ingress.appscode.com/affinity: cookie, ingress.appscode.com/session-cookie-hash: md5"
    spec = "  defaultBackend: {service: {name: rest, port: {number: 80}}}\n" + PATHS
    cookies = {name: service.sticky.cookie.hash for name, service in read(spec, pinned).services.items()}  # type: ignore[union-attr]
    assert cookies == {"s1": "md5", "plain": "md5", "rest": None}
    assert found(spec, pinned)["lint.setting-ignored"].message.startswith("session-cookie-hash does nothing for the default backend")


def test_tcp_by_port_and_by_server_name() -> None:
    rule = "    - {host: HOST, tcp: {port: 9898, backend: {service: {name: db, port: {number: 1}}}}}\n"
    one = read("  rules:\n" + rule.replace("HOST", "x.io"))
    assert [(route.name, route.sni, route.entry_points) for route in one.tcp_routes] == [("tcp-9898", (), ("port-9898",))]
    two = read("  rules:\n" + rule.replace("HOST", "x.io") + rule.replace("HOST", "y.io"))
    assert [route.sni for route in two.tcp_routes] == [("x.io",), ("y.io",)]
    assert all(route.tls is not None and route.tls.passthrough for route in two.tcp_routes)


# Raw rules -------------------------------------------------------------------------------------------------------------

CANARY = """\
  frontendRules:
    - port: 80
      rules:
        - option httplog
        - option forwardfor
        - acl h_foo hdr(host) -i foo.bar.com foo.bar.com:80
        - acl c_cook req.cook(canary) -m str always
        - acl c_hdr  req.fhdr(X-Canary) -m str always   # fhdr = whole value
        - use_backend canary-be if h_foo c_hdr
        - use_backend canary-be if h_foo c_cook
  rules:
    - host: foo.bar.com
      http: {paths: [{path: /, backend: {name: stable-be, service: {name: s1, port: {number: 80}}}}]}
    - host: canary.invalid
      http: {paths: [{path: /, backend: {name: canary-be, service: {name: canary, port: {number: 80}},
             backendRules: ['cookie CANARYID insert indirect nocache httponly secure attr "SameSite=Strict" attr "Max-Age=3600"']}}]}
"""
PINNED = "ingress.appscode.com/affinity: cookie"


def test_a_canary_that_people_wrote() -> None:
    document = read(CANARY, PINNED)
    rules = [route for route in document.routes if route.to == "canary-be"]
    assert [route.name for route in rules] == ["canary-be-rule-1", "canary-be-rule-2", "canary.invalid"]
    assert all(route.entry_points == ("web",) and route.hosts == ("foo.bar.com",) for route in rules[:2])
    cookie = document.services["canary-be"].sticky.cookie  # type: ignore[union-attr]
    assert cookie is not None
    assert (cookie.name, cookie.http_only, cookie.secure, cookie.same_site, cookie.max_age) == ("CANARYID", True, True, "strict", 3600)
    assert parse(HEAD.replace("NOTES", PINNED) + CANARY).diagnostics == ()


@pytest.mark.parametrize(
    ("rule", "lost"),
    [
        ("http-request deny if { src 10.0.0.0/8 }", True),
        ("acl c_cook req.cook(canary) -m str x if", False),
        ("acl acl_foo.bar.com path_beg /x", True),
        ("acl odd lua.thing -m bool", True),
        ("acl odd path -i /x", True),
        ("acl odd path_beg -m str /x", True),
        ("acl odd method -i get", True),
        ("acl odd src -f file", True),
        ("use_backend canary-be if h_foo { rand(100) lt 10 }", True),
        ("use_backend canary-be unless h_foo", True),
        ("redirect scheme https", True),
        ("tcp-request connection reject", True),
        ('option httplog"', True),
        ("timeout client 10s", False),
        ("http-response set-header X-A b", False),
        ("http-response deny", True),
        ("option dontlognull\\nhttp-request deny", True),
    ],
)
def test_a_rule_that_is_opaque_takes_its_port_with_it(rule: str, lost: bool) -> None:
    text = CANARY.replace("        - option httplog\n", f"        - {quoted(rule)}\n")
    parsed = parse(HEAD.replace("NOTES", PINNED) + text)
    if rule.startswith("acl c_cook"):  # it is a further value of that ACL, and no more
        assert parsed.diagnostics == ()
        return
    (said,) = [each for each in parsed.diagnostics if each.code == "unread.unsupported"]
    assert said.span is not None
    assert said.span.line == 10
    assert said.severity is Severity.ERROR
    assert (parsed.document is None) == lost


def quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


@pytest.mark.parametrize(
    "rule", ["http-request auth", "http-request set-path /x", "cookie X prefix", "use-server a if x", "errorloc 503 /x"]
)
def test_an_opaque_rule_of_a_backend_takes_what_leads_there(rule: str) -> None:
    text = CANARY.replace(
        """'cookie CANARYID insert indirect nocache httponly secure attr "SameSite=Strict" attr "Max-Age=3600"'""", quoted(rule)
    )
    parsed = parse(HEAD.replace("NOTES", PINNED) + text)
    assert parsed.document is not None
    assert {route.to for route in parsed.document.routes} == {"stable-be"}
    assert [each.code for each in parsed.diagnostics] == ["unread.unsupported"]


def test_rules_that_were_edited_by_hand_are_not_taken_for_ours() -> None:
    document = """
pinfeather: v1
routes:
  - {name: shop, hosts: [a.io], split: [{to: v1, weight: 9}, {to: v2}], sticky: {cookie: {name: seen}}}
services:
  v1: {servers: [{kubernetes: {service: v1, port: 80}}]}
  v2: {servers: [{kubernetes: {service: v2, port: 80}}]}
"""
    made = canonical.parse(Source((File("d.yaml", document),)), canonical.CanonicalOptions()).document
    assert made is not None
    text = voyager.emit(project(made, voyager.supports(OPTIONS)).kept, OPTIONS).files()[0].text
    assert parse(text).document is not None
    for old, new in (("lt 9", "lt 8"), ("rand(10)", "rand(11)"), ("-m str -- v1", "-m str -- v2"), ("if pinfeather.0.1 p", "if p")):
        assert old in text
        parsed = parse(text.replace(old, new, 1))
        assert [each.code for each in parsed.diagnostics if each.severity is Severity.ERROR] == ["unread.unsupported"], (old, new)


# Annotations -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notes", "code", "sticky"),
    [
        ("ingress.appscode.com/affinity: Cookie", "lint.setting-ignored", None),
        ("ingress.appscode.com/session-cookie-name: X", "lint.setting-ignored", None),
        (f"{PINNED}, ingress.appscode.com/session-cookie-name: ''", "", "SERVERID"),
        (f"{PINNED}, ingress.appscode.com/session-cookie-hash: sha1", "lint.setting-ignored", "SERVERID"),
        (f"{PINNED}, ingress.appscode.com/session-cookie-name: 'a b'", "input.cookie", None),
        ("ingress.appscode.com/sticky-session: 'true'", "lint.setting-removed", None),
        ("ingress.appscode.com/afinity: cookie", "unread.unknown", None),
        ("ingress.appscode.com/cors-allow-origin: '*'", "unread.unsupported", None),
        ("ingress.appscode.com/hsts: 'true'", "unread.unsupported", None),
        ("ingress.appscode.com/type: NodePort", "", None),
    ],
)
def test_annotations(notes: str, code: str, sticky: str | None) -> None:
    parsed = parse(HEAD.replace("NOTES", notes) + PATHS)
    assert [str(each.code) for each in parsed.diagnostics] == ([code] if code else [])
    assert all(each.span is not None and each.span.line == 5 for each in parsed.diagnostics)
    assert parsed.document is not None
    cookies = {service.sticky.cookie.name if service.sticky else None for service in parsed.document.services.values()}  # type: ignore[union-attr]
    assert cookies == {sticky}


@pytest.mark.parametrize(
    "name", ["auth-type: basic", "auth-tls-secret: x", "limit-rps: '5'", "proxy-body-size: '10'", "force-ssl-redirect: 'true'"]
)
def test_what_protects_and_cannot_be_read_leaves_nothing_open(name: str) -> None:
    parsed = parse(HEAD.replace("NOTES", f"ingress.appscode.com/{name}") + PATHS)
    assert parsed.document is None
    assert [each.code for each in parsed.diagnostics] == ["unread.unsupported"]


def test_an_address_list_is_a_middleware_of_every_route() -> None:
    notes = "ingress.appscode.com/whitelist-source-range: '10.0.0.0/8  192.0.2.1'"
    document = read(notes=notes)
    assert document.middlewares["whitelist-source-range"].ip_allow_list is not None
    assert document.middlewares["whitelist-source-range"].ip_allow_list.source_ranges == ("10.0.0.0/8", "192.0.2.1")
    assert {route.middlewares for route in document.routes} == {("whitelist-source-range",)}
    assert parse(HEAD.replace("NOTES", notes.replace("192", "abc")) + PATHS).document is None


def test_the_annotations_of_a_service_that_cannot_be_read_close_what_leads_there() -> None:
    service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: s1, annotations: {ingress.appscode.com/auth-type: basic}}\nspec: {}\n"
    parsed = parse(HEAD.replace("NOTES", "") + PATHS + service)
    assert parsed.document is not None
    assert [route.name for route in parsed.document.routes] == ["a.io"]
    assert len(parsed.passed) == 1


def test_annotation_in_the_singular_is_no_annotation() -> None:
    parsed = parse(HEAD.replace("annotations: {NOTES}", f"annotation: {{{PINNED}}}") + PATHS)
    (said,) = parsed.diagnostics
    assert (said.code, said.fixes[0].edits[0].text) == ("lint.annotation-singular", "annotations")


# Bad input -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "input.empty"),
        ("kind: Ingress\n", "input.value"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", "input.empty"),
        (HEAD.replace("NOTES", ""), "input.value"),
        (HEAD.replace("NOTES", "") + "  rules: [{host: a.io}]\n", "input.value"),
        (
            HEAD.replace("NOTES", "") + "  rules: [{host: 'a b', http: {paths: [{backend: {service: {name: s, port: {number: 1}}}}]}}]\n",
            "input.value",
        ),
        (
            HEAD.replace("NOTES", "") + "  rules: [{http: {paths: [{path: x, backend: {service: {name: s, port: {number: 1}}}}]}}]\n",
            "input.value",
        ),
        (
            HEAD.replace("NOTES", "") + "  rules: [{http: {paths: [{backend: {service: {name: s, port: {number: 1, name: x}}}}]}}]\n",
            "input.value",
        ),
        (HEAD.replace("NOTES", "") + "  rules: [{http: {paths: [{}]}}]\n", "input.value"),
        (HEAD.replace("NOTES", "") + "  rules: [{tcp: {backend: {service: {name: s, port: {number: 1}}}}}]\n", "input.value"),
        (HEAD.replace("NOTES", "") + PATHS + "  priorty: 1\n", "unread.unknown"),
        (
            HEAD.replace("NOTES", "") + PATHS + "---\n" + HEAD.replace("NOTES", "").replace("name: shop", "name: two") + PATHS,
            "input.name-clash",
        ),
    ],
)
def test_bad_input_is_said_at_its_line(text: str, code: str) -> None:
    parsed = parse(text)
    codes = [str(each.code) for each in parsed.diagnostics if each.severity is Severity.ERROR]
    assert codes == [code], parsed.diagnostics
    assert all(each.span is None or each.span.file == "x.yaml" for each in parsed.diagnostics)


def test_pod_affinity_is_no_stickiness() -> None:
    document = read("  affinity: {podAntiAffinity: {}}\n  priority: 3\n" + PATHS)
    assert all(service.sticky is None for service in document.services.values())


def test_a_check_without_a_path_and_a_path_without_a_check_are_said() -> None:
    service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: s1, annotations: {ingress.appscode.com/check: 'true'}}\n"
    parsed = parse(HEAD.replace("NOTES", "") + PATHS + service)
    assert [each.code for each in parsed.diagnostics] == ["lint.assumed"]
    rules = PATHS.replace("name: s1, port: {number: 80}}", "name: s1, port: {number: 80}}, backendRules: [option httpchk GET /h]")
    assert [each.code for each in parse(HEAD.replace("NOTES", "") + rules).diagnostics] == ["lint.setting-ignored"]
    document = parse(HEAD.replace("NOTES", "") + rules + service).document
    assert document is not None
    assert document.services["s1"].health_check is not None  # type: ignore[union-attr]
