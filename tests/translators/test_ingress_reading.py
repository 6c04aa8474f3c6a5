"""`ingress`: what is read of files as people have them, and what is said of those that are wrong, at its line."""

from __future__ import annotations

from textwrap import dedent

import pytest

from pinfeather.model.diagnostics import Diagnostic, Severity
from pinfeather.model.document import Document
from pinfeather.model.project import project
from pinfeather.model.rename import derive
from pinfeather.model.services import LoadBalancer
from pinfeather.translators._ingress.reading import IngressOptions
from pinfeather.translators._syntax.repair import lines_of
from pinfeather.translators.contract import File, Parsed, Source
from pinfeather.translators.ingress import TRANSLATOR, recognise

PLAIN = IngressOptions()
KEY = "traefik.ingress.kubernetes.io/"
HEAD = "apiVersion: networking.k8s.io/v1\nkind: Ingress\n"
SHOP = f"""\
{HEAD}metadata:
  name: shop
  namespace: prod
  annotations:
    {KEY}router.middlewares: prod-door@kubernetescrd, other-x@kubernetescrd
spec:
  rules:
    - host: shop.example.com
      http:
        paths:
          - {{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}
"""
DOOR = """\
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: door, namespace: prod}
spec: {ipAllowList: {sourceRange: [10.0.0.0/8]}}
"""
SERVICE = f"""\
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: prod
  annotations:
    {KEY}service.sticky.cookie.name: srv
    {KEY}service.sticky.cookie.samesite: none
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
"""


def read(text: str, options: IngressOptions = PLAIN, name: str = "a.yaml") -> Parsed:
    return TRANSLATOR.parse(Source((File(name, dedent(text)),)), options)


def routes(parsed: Parsed) -> list[str]:
    assert parsed.document is not None
    return [route.name for route in parsed.document.routes]


def said(parsed: Parsed, code: str) -> Diagnostic:
    (finding,) = (each for each in parsed.diagnostics if each.code == code)
    return finding


def errors(parsed: Parsed) -> list[str]:
    return [finding.code for finding in parsed.diagnostics if finding.severity is Severity.ERROR]


def edited(text: str, finding: Diagnostic) -> str:
    lines = lines_of(text)
    for edit in reversed(finding.fixes[0].edits):
        span = edit.span
        assert span.line == span.end_line
        line = lines[span.line - 1]
        lines[span.line - 1] = line[: span.column - 1] + edit.text + line[span.end_column - 1 :]
    return "".join(lines)


# Middlewares -----------------------------------------------------------------------------------------------------------


def test_middlewares_of_the_stream_are_theirs_and_others_are_references() -> None:
    parsed = read(f"{SHOP}---\n{DOOR}")
    assert parsed.document is not None
    assert parsed.document.routes[0].middlewares == ("door", "other-x@kubernetescrd")
    assert parsed.document.middlewares["door"].ip_allow_list is not None
    alone = read(SHOP).document
    assert alone is not None
    assert alone.routes[0].middlewares == ("prod-door@kubernetescrd", "other-x@kubernetescrd")


def test_a_middleware_that_cannot_be_read_takes_its_route_along() -> None:
    parsed = read(f"{SHOP}---\n{DOOR.replace('ipAllowList', 'ipAllow')}")
    assert routes(parsed) == []
    assert errors(parsed) != []


# Services --------------------------------------------------------------------------------------------------------------


def test_a_service_is_read_and_handed_on() -> None:
    parsed = read(f"{SERVICE.replace('none', 'lax')}---\n{SHOP}")
    assert parsed.document is not None
    service = parsed.document.services["prod-web-80"]
    assert isinstance(service, LoadBalancer)
    assert service.sticky is not None
    assert service.sticky.cookie is not None
    assert (service.sticky.cookie.name, service.sticky.cookie.same_site) == ("srv", "lax")
    assert parsed.passed == (SERVICE.replace("none", "lax"),)
    assert parsed.spans[("services", "prod-web-80", "sticky", "cookie", "same_site")].line == 8


def test_same_site_none_gets_its_secure_as_an_annotation() -> None:
    text = f"{SERVICE}---\n{SHOP}"
    finding = said(read(text), "lint.same-site-none")
    again = read(edited(text, finding))
    assert "lint.same-site-none" not in errors(again)
    assert again.document is not None
    service = again.document.services["prod-web-80"]
    assert isinstance(service, LoadBalancer)
    assert service.sticky is not None
    assert service.sticky.cookie is not None
    assert service.sticky.cookie.secure is True


def test_the_name_of_a_nameless_cookie_goes_by_the_port() -> None:
    text = SERVICE.replace("cookie.name: srv", "cookie: 'true'").replace("samesite: none", "httponly: 'true'")
    other = SHOP.replace("name: shop", "name: two").replace("number: 80", "number: 81")
    parsed = read(f"{text.replace('{port: 80}', '{name: a, port: 80}, {name: b, port: 81}')}---\n{SHOP}---\n{other}")
    assert parsed.document is not None
    names = {
        name: service.sticky.cookie.name for name, service in parsed.document.services.items() if service.sticky and service.sticky.cookie
    }
    assert len(set(names.values())) == 2, names


# Which of them ---------------------------------------------------------------------------------------------------------

CLASS = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}}}\nspec: {{controller: {controller}}}\n"


@pytest.mark.parametrize(
    ("spec", "options", "more", "taken"),
    [
        ("", {}, "", True),
        ("traefik", {}, "", True),
        ("traefik-internal", {}, "", True),
        ("nginx", {}, "", False),
        ("nginx", {}, CLASS.format(name="nginx", controller="traefik.io/ingress-controller"), True),
        ("traefik", {}, CLASS.format(name="traefik", controller="k8s.io/ingress-nginx"), False),
        ("edge", {"ingress_class": "edge"}, "", True),
        ("", {"ingress_class": "edge"}, "", False),
    ],
)
def test_classes_go_by_the_instance(spec: str, options: dict[str, str], more: str, taken: bool) -> None:
    text = SHOP.replace("spec:\n", f"spec:\n  ingressClassName: {spec}\n") if spec else SHOP
    parsed = read(f"{text}---\n{more}" if more else text, IngressOptions.model_validate(options))
    assert routes(parsed) == (["shop"] if taken else [])
    if not taken:
        assert f"--ingress-class {spec or 'NAME'}" in said(parsed, "unread.scope").instead
        assert text in parsed.passed


def test_the_old_annotation_for_the_class() -> None:
    text = SHOP.replace("annotations:\n", "annotations:\n    kubernetes.io/ingress.class: nginx\n")
    assert routes(read(text)) == []
    assert routes(read(text.replace("class: nginx", "class: traefik"))) == ["shop"]


def test_an_ingress_of_another_group() -> None:
    parsed = read(SHOP.replace("networking.k8s.io/v1", "extensions/v1beta1"))
    assert routes(parsed) == []
    assert "networking.k8s.io/v1" in said(parsed, "input.value").instead


def test_names_of_two_namespaces() -> None:
    assert routes(read(f"{SHOP}---\n{SHOP.replace('prod', 'dev').replace('shop.example', 'dev.example')}")) == ["prod-shop", "dev-shop"]


# What is wrong ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "words"),
    [
        ("router.middlewares: prod-door@kubernetescrd, ", "router.middleware: ", "unread.unknown", 7, "router.middlewares'"),
        ("prod-door@kubernetescrd, other-x@kubernetescrd", "door", "input.value", 7, "NAMESPACE-NAME@kubernetescrd"),
        ("router.middlewares: prod-door@kubernetescrd, ", "router.priority: ", "input.value", 7, ""),
        ("pathType: Prefix", "pathType: Regex", "input.value", 13, "write Exact, Prefix"),
        ("path: /, pathType: Prefix", "path: '', pathType: Prefix", "", 0, ""),
        ("host: shop", "host: ü", "input.rule", 13, ""),
        ("port: {number: 80}", "port: {}", "input.value", 13, "write both"),
        ("port: {number: 80}", "port: {number: 80, name: http}", "input.value", 13, "write both"),
        ("service: {name: web, port: {number: 80}}", "serviceName: web", "input.value", 13, "name a Service"),
        ("service: {name: web, port: {number: 80}}", "resource: {kind: Bucket, name: b}", "unread.unsupported", 13, ""),
        ("rules:", "rule:", "unread.unknown", 9, "rules"),
    ],
)
def test_a_mistake_is_said_at_its_line(old: str, new: str, code: str, line: int, words: str) -> None:
    parsed = read(SHOP.replace(old, new))
    found = [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR]
    if not code:
        assert found == []
        return
    lines = [finding.span.line for finding in found if finding.code == code and finding.span is not None]
    assert line in lines, found
    assert any(words in finding.instead + finding.message for finding in found)
    assert routes(parsed) == [] or old.startswith("pathType")


def test_the_fix_of_a_misspelt_annotation() -> None:
    text = SHOP.replace("router.middlewares", "router.middleware")
    assert edited(text, said(read(text), "unread.unknown")) == SHOP


def test_what_traefik_passes_over() -> None:
    text = SHOP.replace(
        f"{KEY}router.middlewares",
        f"{KEY}service.sticky.cookie: 'true'\n    nginx.ingress.kubernetes.io/affinity: cookie\n    {KEY}router.middlewares",
    )
    parsed = read(text)
    assert [finding.span.line for finding in parsed.diagnostics if finding.code == "lint.setting-ignored" and finding.span] == [7, 8]
    assert routes(parsed) == ["shop"]


def test_a_broken_document_hides_none_of_the_others() -> None:
    parsed = read(f"{SHOP}---\na: [\n---\n{SHOP.replace('name: shop', 'name: two')}---\nkind: Ingress\n")
    assert routes(parsed) == ["shop", "two"]
    assert len(errors(parsed)) == 2


def test_windows_line_ends_and_a_byte_order_mark() -> None:
    text = "\ufeff" + SHOP.replace("\n", "\r\n")
    assert routes(TRANSLATOR.parse(Source((File("a.yaml", text.encode()),)), PLAIN)) == ["shop"]


def test_an_exact_path_that_a_shorter_rule_hides_is_said() -> None:
    text = SHOP + "          - {path: /push, pathType: Exact, backend: {service: {name: web, port: {number: 80}}}}\n"
    finding = next(each for each in read(text).diagnostics if "by the length" in each.message)
    assert "44 before 42" not in finding.message
    assert "43 before 41" in finding.message


# Recognising, and names ------------------------------------------------------------------------------------------------


def test_recognise() -> None:
    assert recognise(File("a.yaml", SHOP))
    assert recognise(File("a.yaml", SHOP.encode()))
    assert not recognise(File("a.yaml", SHOP.replace("networking.k8s.io/v1", "voyager.appscode.com/v1beta1")))
    assert not recognise(File("a.yaml", DOOR))


def test_two_alike_become_one_name_and_two_that_differ_do_not() -> None:
    servers = [{"kubernetes": {"service": "web", "port": 80}}]
    tree = {
        "routes": [{"name": name, "path": {"prefix": f"/{name}"}, "to": name} for name in ("a", "b", "c")],
        "services": {"a": {"servers": servers}, "b": {"servers": servers}, "c": {"servers": servers, "pass_host_header": False}},
    }
    made = Document.model_validate({"pinfeather": "v1", **tree})
    kept, found = derive(made, TRANSLATOR.supports(PLAIN), {"routes": [0, 1, 2]})
    assert [route.to for route in kept.routes] == ["default-web-80", "default-web-80", "default-web-80-2"]
    assert len(found) == 3


def test_a_wildcard_host_is_a_regex_before_3_7_and_written_as_the_same_host() -> None:
    old = IngressOptions(traefik="3.5")
    made = read(SHOP.replace("host: shop.example.com", "host: '*.example.com'"), old).document
    assert made is not None
    assert made.routes[0].hosts == ()
    assert made.routes[0].priority == len(r"HostRegexp(`^[a-zA-Z0-9-]+\.example\.com$`) && PathPrefix(`/`)")
    projection = project(made, TRANSLATOR.supports(old))
    assert [finding.code for finding in projection.diagnostics] == []
    assert 'host: "*.example.com"' in TRANSLATOR.emit(projection.kept, old).files()[0].text
    assert "loss.match.path-prefix" not in {finding.code for finding in project(made, TRANSLATOR.supports(PLAIN)).diagnostics}
    assert "loss.match.host-regex" in {finding.code for finding in project(made, TRANSLATOR.supports(PLAIN)).diagnostics}
