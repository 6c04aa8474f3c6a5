"""`ingressroute`: bad input, each named where it stands, all of one run together."""

from __future__ import annotations

from textwrap import dedent

import pytest

from pinfeather.model.diagnostics import Diagnostic, Severity
from pinfeather.translators.contract import File, Parsed, Source
from pinfeather.translators.ingressroute import TRANSLATOR, IngressRouteOptions

GOOD = """\
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop, namespace: prod}
spec:
  entryPoints: [web]
  routes:
  - match: Host(`shop.test`)
    kind: Rule
    services:
    - name: v1
      port: 80
"""


def read(text: str | bytes, **options: object) -> Parsed:
    return TRANSLATOR.parse(Source((File("a.yaml", text),)), IngressRouteOptions.model_validate(options))


def wrong(parsed: Parsed) -> list[Diagnostic]:
    return [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR]


def line(finding: Diagnostic) -> int:
    assert finding.span is not None
    return finding.span.line


CASES = {
    "an unknown key of a route": (GOOD.replace("kind: Rule", "kind: Rule\n    prority: 5"), 9, "unread.unknown", "priority"),
    "an unknown key of a service": (f"{GOOD}      stiky: {{}}\n", 12, "unread.unknown", "sticky"),
    "a text where a number is meant": (GOOD.replace("kind: Rule", 'priority: "5"'), 8, "input.value", "quotes"),
    "a port as text": (GOOD.replace("80", '"80"'), 11, "input.value", "port"),
    "a number where a text is meant": (GOOD.replace("name: v1", "name: 1"), 10, "input.value", "quotes"),
    "an unknown kind of service": (GOOD.replace("name: v1", "name: v1\n      kind: Deployment"), 11, "input.value", "TraefikService"),
    "no services": (GOOD[: GOOD.index("    services")], 7, "input.value", "services"),
    "a rule of v2": (GOOD.replace("Host(`shop.test`)", "Host(`a`, `b`)"), 7, "lint.v2-syntax", "||"),
    "a cookie that browsers refuse": (
        f"{GOOD}      sticky: {{cookie: {{name: a, sameSite: none}}}}\n",
        12,
        "lint.same-site-none",
        "secure",
    ),
    "an unknown sameSite": (f"{GOOD}      sticky: {{cookie: {{name: a, sameSite: Nope}}}}\n", 12, "input.cookie", "lax"),
    "an object without a name": (GOOD.replace("name: shop, ", ""), 1, "input.value", "name"),
    "a name that no object has": (GOOD.replace("name: shop", "name: Shop_1"), 3, "input.value", "a-z"),
    "the default options by name": (f"{GOOD}  tls: {{options: {{name: default}}}}\n", 12, "input.reference", "take `options` out"),
    "a router below another": (f"{GOOD}  parentRefs: [{{name: a}}]\n", 12, "unread.unsupported", ""),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_named_at_its_line(case: str) -> None:
    text, where, code, words = CASES[case]
    found = wrong(read(text))
    assert [(str(finding.code), line(finding)) for finding in found] == [(code, where)], found
    assert words in f"{found[0].message} {found[0].instead}", found


def test_a_broken_document_hides_none_of_the_others() -> None:
    broken = "---\nkind: [\n---\n" + GOOD.replace("Host(`shop.test`)", "Host(").replace("name: shop", "name: other")
    parsed = read(GOOD + broken)
    assert [str(finding.code) for finding in wrong(parsed)] == ["input.syntax", "input.rule"]
    assert parsed.document is not None
    assert [route.name for route in parsed.document.routes] == ["shop"]


@pytest.mark.parametrize("text", [GOOD.replace("\n", "\r\n"), f"\ufeff{GOOD}", GOOD.encode()])
def test_line_ends_and_byte_order_marks(text: str | bytes) -> None:
    parsed = read(text)
    assert wrong(parsed) == []
    assert parsed.document is not None
    assert parsed.spans[("routes", 0, "match")].line == 7


def test_the_old_group_is_an_error_with_a_fix_on_v3_only() -> None:
    old = GOOD.replace("traefik.io", "traefik.containo.us")
    (finding,) = wrong(read(old))
    assert (str(finding.code), line(finding)) == ("lint.old-api-group", 1)
    (edit,) = finding.fixes[0].edits
    first = old.splitlines()[0]
    assert first[: edit.span.column - 1] + edit.text + first[edit.span.end_column - 1 :] == "apiVersion: traefik.io/v1alpha1"
    assert wrong(read(old, traefik="2.11")) == []


def test_two_objects_of_one_name_and_one_in_two_namespaces() -> None:
    other = GOOD.replace("shop.test", "other.test")
    (finding,) = wrong(read(f"{GOOD}---\n{other}"))
    assert (str(finding.code), line(finding)) == ("input.name-clash", 13)
    assert "line 1" in finding.message
    parsed = read(f"{GOOD}---\n{other.replace('prod', 'test')}")
    assert wrong(parsed) == []
    assert parsed.document is not None
    assert [route.name for route in parsed.document.routes] == ["shop", "shop-2"]
    assert list(parsed.document.services) == ["v1", "v1-2"]


def test_a_list_in_a_list_is_named_and_the_rest_is_read() -> None:
    inner = "- {apiVersion: v1, kind: List, items: []}\n"
    item = "- " + GOOD.replace("\n", "\n  ").rstrip() + "\n"
    parsed = read(f"apiVersion: v1\nkind: List\nitems:\n{inner}{item}")
    assert [(str(finding.code), line(finding)) for finding in wrong(parsed)] == [("input.value", 4)]
    assert parsed.document is not None
    assert len(parsed.document.routes) == 1


def test_a_sticky_middleware_takes_its_routes_away() -> None:
    middleware = "---\napiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: pin, namespace: prod}\nspec: {sticky: {cookie: {name: a}}}\n"
    parsed = read(GOOD.replace("    kind: Rule\n", "    kind: Rule\n    middlewares: [{name: pin}]\n") + middleware)
    assert [(str(finding.code), line(finding)) for finding in wrong(parsed)] == [("lint.sticky-middleware", 17)]
    assert parsed.document is not None
    assert parsed.document.routes == ()


def test_what_is_ignored_is_said() -> None:
    text = GOOD.replace("      port: 80\n", "      kind: TraefikService\n      weight: 3\n      sticky: {cookie: {name: a}}\n")
    found = [finding for finding in read(text).diagnostics if finding.code == "lint.setting-ignored"]
    assert [line(finding) for finding in found] == [13, 12]


def test_a_cookie_beside_native_lb_pins_nothing() -> None:
    parsed = read(f"{GOOD}      nativeLB: true\n      sticky: {{cookie: {{name: a}}}}\n")
    assert ["lint.native-lb" in str(finding.code) for finding in parsed.diagnostics].count(True) == 1
    assert wrong(parsed) == []


def test_patches_are_no_objects() -> None:
    patch = "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {name: shop}\nspec: {entryPoints: [websecure]}\n"
    parsed = read(patch)
    assert [str(finding.code) for finding in parsed.diagnostics] == ["lint.patch-fragment"]
    singular = GOOD.replace("namespace: prod", "namespace: prod, annotation: {a: b}")
    assert [str(finding.code) for finding in wrong(read(singular))] == ["lint.annotation-singular"]


def test_client_certificates_are_not_lost() -> None:
    """A TLSOption with the CAs of clients cannot be read: whoever asks for it goes with it."""
    option = dedent(
        """\
        ---
        apiVersion: traefik.io/v1alpha1
        kind: TLSOption
        metadata: {name: mtls, namespace: prod}
        spec: {clientAuth: {secretNames: [ca], clientAuthType: RequireAndVerifyClientCert}}
        """
    )
    parsed = read(f"{GOOD}  tls: {{options: {{name: mtls}}}}\n{option}")
    assert [str(finding.code) for finding in wrong(parsed)] == ["unread.unsupported"]
    assert parsed.document is not None
    assert parsed.document.routes == ()
