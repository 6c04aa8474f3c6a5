"""`pinfeather explain`: on every row of every sheet, on the seeds, and on what is wrong."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather import _explain_render
from pinfeather._explain import explain
from pinfeather._explanation import Explanation
from pinfeather.cli import main
from pinfeather.model.decide import Request, Table, decide, outcomes
from pinfeather.model.document import Document
from pinfeather.model.routes import Route
from pinfeather.model.trace import rivals
from pinfeather.testing import checks, probes, sheets, traffic
from pinfeather.testing.sheets import Row, Sheet

HERE = Path(__file__).parent
SHEETS = sheets.load(HERE.parent / "cases")
ROWS = [(sheet, row) for sheet in SHEETS if sheet.document is not None for row in sheet.rows]
SEED = str(HERE.parent / "seeds" / "canary-sticky" / "list.yaml")
FILLED = [
    *("--bind", ".Values.captain_domain=example.com"),
    *("--bind", 'include "app.name" .=shop'),
    *("--bind", 'include "app.namespace" .=prod'),
    *("--servers", "prod/my-app-v1-prod:80=http://10.0.1.1:80,http://10.0.1.2:80"),
    *("--servers", "prod/my-app-v2-prod:80=http://10.0.2.1:80,http://10.0.2.2:80"),
]
URL = "https://shop.apps.example.com/"


@pytest.mark.parametrize(("sheet", "row"), ROWS, ids=lambda value: value.name if isinstance(value, Sheet) else value.text)
def test_it_says_of_every_row_what_the_core_decides(sheet: Sheet, row: Row) -> None:
    document = checks.document_of(sheet)
    _agrees(document, row)


def _agrees(document: Document, row: Row) -> None:
    state = row.state(document)
    found = explain(document, row.request, state)
    decided = outcomes(Table.of(document), row.request, state)
    assert sum((lead.share for lead in found.leads), Fraction(0)) == 1
    assert {lead.decision for lead in found.leads} == {part.decision for part in decided.parts}
    first = decided.parts[0].decision
    assert (found.won is None) == (first.route is None)
    if found.won is not None:
        assert _rung(document, found) == (first.route, first.canary)
    assert [cookie.name for cookie in found.leads[0].cookies] == [binding.cookie.name for binding in found.leads[0].decision.set_cookies]
    assert _explain_render.text(found)
    assert json.loads(_explain_render.as_json(found))["outcomes"]


def _rung(document: Document, found: Explanation) -> tuple[str, int | None]:
    """The route that takes the request, and which of its canaries."""
    parts = (found.won or "").split(".")
    assert parts[0] == "routes"
    return document.routes[int(parts[1])].name, int(parts[3]) if len(parts) > 2 else None


@settings(deadline=None)
@given(traffic.documents(), st.integers(0, 40))
def test_who_would_have_taken_it_does_without_the_winner(document: Document, number: int) -> None:
    made = probes.probes(document, 60)
    request, state = made[number % len(made)]
    found = explain(document, request, state)
    table = Table.of(document)
    rivalling = rivals(table, found.asked, state) if isinstance(found.asked, Request) else ()
    assert [lost.numbers for lost in found.lost if lost.would_hold] == [(rival.first, rival.second) for rival in rivalling]
    if found.won is None:
        assert not rivalling
        return
    name, canary = _rung(document, found)
    left = [each for each in rivalling if canary is not None or document.routes[each.rung.route].name != name]
    if canary is None:
        without = document.model_copy(update={"routes": tuple(each for each in document.routes if each.name != name)})
    else:
        routes = tuple(_without(each, canary) if each.name == name else each for each in document.routes)
        without = document.model_copy(update={"routes": routes})
    then = decide(Table.of(Document.model_validate(without.model_dump(by_alias=True))), request, state, 0)
    assert (then.route is None) == (not left)
    if left:
        assert then.route == document.routes[left[0].rung.route].name


def _without(route: Route, canary: int) -> Route:
    kept = tuple(each for at, each in enumerate(route.canaries) if at != canary)
    return route.model_copy(update={"canaries": kept})


# The seed ---------------------------------------------------------------------------------------------------------------


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["explain", *words]) == code
    shown = capsys.readouterr()
    return shown.out if code == 0 else shown.err


def test_the_seed_v1_by_default_with_its_cookie(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, SEED, f"curl {URL}", *FILLED)
    assert "50 %  my-app-v1-prod at http://10.0.1.1:80\n" in text
    assert "Set-Cookie: my-sticky-cookie=36ffa66810b5a2d2; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=None" in text
    assert "v2-prod at" not in text
    assert f"it asks for a header Cookie in which .*canary=v2.* is found; this request has none   [{SEED}:15]" in text


def test_the_seed_v2_for_testers(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, SEED, f"curl -b canary=v2 {URL}", *FILLED)
    assert "50 %  my-app-v2-prod at http://10.0.2.1:80\n" in text
    assert f"the canary to 'my-app-v2-prod' of the route 'my-app-canary-sticky' holds   [{SEED}:15]" in text
    assert "Would have taken it too:\n  route my-app-canary-sticky" in text
    assert "Note:" not in text


def test_the_seed_the_same_server_again(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, SEED, f"curl {URL} --bound my-sticky-cookie=http://10.0.1.2:80", *FILLED)
    assert "100 %  my-app-v1-prod at http://10.0.1.2:80\n" in text
    assert "Set-Cookie" not in text
    assert "the client is bound to the server http://10.0.1.2:80" in text


def test_the_seed_the_cookie_that_was_set_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    first = said(capsys, SEED, f"curl {URL}", *FILLED)
    server, cookie = re.findall(r"at (http\S+)\n +Set-Cookie: ([^;]+)", first)[1]
    again = said(capsys, SEED, f"curl -b {cookie} {URL}", *FILLED)
    assert f"100 %  my-app-v1-prod at {server}\n" in again
    assert "Set-Cookie" not in again
    there = said(capsys, SEED, f"curl -b 'canary=v2; {cookie}' {URL}", *FILLED)
    assert f"since a draw binds, instead of {server}, which does not count here" in there
    assert f"the client is bound to {server}, which takes no request here" in there


def test_states_of_servers_stand_in_what_can_be_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        'pinfeather: v1\nroutes: [{name: a, hosts: [h.com], to: v}]\nservices: {v: {servers: [{url: "http://10.0.0.1"}, {url: "http://10.0.0.2"}]}}\n'
    )
    line = "curl http://h.com/ --down v/1 --draining v/2 --entry-point web"
    first = json.loads(said(capsys, "--report", "json", str(path), line))
    assert first["request"]["curl"] == line
    again = json.loads(said(capsys, "--report", "json", str(path), "--request", json.dumps(first["request"])))
    assert again == first
    assert said(capsys, str(path), line).startswith(line)


def test_the_seed_why_notcanary_is_a_trap(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, SEED, f"curl -b notcanary=v22 {URL}", *FILLED)
    assert "my-app-v2-prod at http://10.0.2.1:80\n" in text
    assert (
        "Note: the regex .*canary=v2.* is held against the whole Cookie header, not against a cookie: it found 'canary=v2' inside" in text
    )
    assert "inside notcanary=v22." in text
    longer = said(capsys, SEED, f"curl -b canary=v20 {URL}", *FILLED)
    assert "it found 'canary=v2' inside canary=v20." in longer
    both = said(capsys, SEED, f"curl -b 'notcanary=v22; canary=v2' {URL}", *FILLED)
    assert "Note:" not in both


# Cookies, middlewares, JSON ------------------------------------------------------------------------------------------------

DOCUMENT = """\
pinfeather: v1
entry_points: {web: 80}
routes:
  - name: low
    hosts: [shop.example.com]
    priority: 5
    to: s
  - name: shop
    hosts: [shop.example.com]
    priority: 10
    middlewares: [both]
    to: s
services:
  s:
    servers: [{url: "http://10.0.0.1:80"}, {url: "http://10.0.0.2:80"}]
    sticky: {cookie: {name: srv}}
middlewares:
  both: {chain: {middlewares: [door, slim]}}
  door: {basic_auth: {users: ["a:{SHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0="]}}
  slim: {compress: {}}
"""


@pytest.fixture
def document(tmp_path: Path) -> str:
    file = tmp_path / "routes.yaml"
    file.write_text(DOCUMENT)
    return str(file)


def test_chains_are_opened_and_losers_say_why(capsys: pytest.CaptureFixture[str], document: str) -> None:
    text = said(capsys, document, "curl http://shop.example.com/")
    assert f"  both (chain)   [{document}:18]\n  door (basic_auth, of the chain both)   [{document}:19]\n" in text
    assert f"route low: the other one has a higher priority (10 to 5)   [{document}:4]" in text


def test_a_cookie_of_the_target_binds(capsys: pytest.CaptureFixture[str], document: str, tmp_path: Path) -> None:
    target = tmp_path / "dynamic.yml"
    assert main(["convert", document, "--to", "traefik-file", "-o", str(target)]) == 0
    text = said(capsys, str(target), "curl http://shop.example.com/")
    value = text.split("Set-Cookie: srv=")[1].split(";")[0]
    again = said(capsys, str(target), f"curl -b srv={value} http://shop.example.com/")
    server = text.split("\n", 4)[3].rsplit(" ", 1)[1]
    assert f"100 %  s at {server}\n" in again
    assert "Set-Cookie" not in again
    forged = said(capsys, str(target), "curl -b srv=0123456789abcdef http://shop.example.com/")
    assert "it names nobody here: taken as absent" in forged


def test_json(capsys: pytest.CaptureFixture[str], document: str) -> None:
    request = json.dumps({"host": "shop.example.com", "headers": {"X-A": "b"}, "down": ["s/1"]})
    tree = json.loads(said(capsys, document, "--request", request, "--report", "json"))
    assert tree["outcomes"][0]["server"] == "http://10.0.0.2:80"
    assert tree["outcomes"][0]["share"] == "1"
    assert tree["request"]["curl"] == "curl -H 'x-a: b' http://shop.example.com/ --down s/1 --entry-point web"
    assert tree["request"]["down"] == ["s/1"]
    assert tree["steps"][0] | {"file": ""} == {
        "kind": "route", "holds": True, "said": "the route 'shop' holds", "share": None, "path": "routes.1", "file": "", "line": 8, "column": 5,
    }  # fmt: skip


WRONG = {
    "no request": (["FILE"], "say what to ask"),
    "no curl line": (["FILE", "curl ftp://x"], "is no URL that a proxy is asked for"),
    "no service": (["FILE", "curl http://x/ --down t"], "there is no service of that name"),
    "no JSON": (["FILE", "--request", "{"], "--request is no JSON"),
    "half a character": (["FILE", "--request", '{"host": "\\ud800"}'], "--request is no JSON"),
    "no host": (["FILE", "--request", "{}"], '--request has a "host"'),
    "unknown field": (["FILE", "--request", '{"host": "x", "verb": "GET"}'], "'verb' is not known"),
    "a number for a text": (["FILE", "--request", '{"host": "x", "path": 3}'], "'path' is a text, not 3"),
    "a text for yes": (["FILE", "--request", '{"host": "x", "tls": "no"}'], "'tls' is true or false"),
    "headers of numbers": (["FILE", "--request", '{"host": "x", "headers": {"a": 1}}'], "'headers' is an object of texts"),
    "another file": (["FILE", "other.yaml"], "'other.yaml' is no request: write it as curl https://host/path"),
    "two questions": (["FILE", "--tcp", "x", "--request", "{}"], "--request and --tcp both say what to ask"),
    "no file": (["--request", '{"host": "x"}'], "name a file to explain it by"),
    "no binding": (["FILE", "curl http://x/", "--bound", "srv"], "write it as COOKIE=WHAT"),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong(capsys: pytest.CaptureFixture[str], document: str, words: str) -> None:
    given_, message = WRONG[words]
    assert message in said(capsys, *(document if word == "FILE" else word for word in given_), code=2)


def test_a_template_is_said_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, SEED, f"curl {URL}", code=2)
    assert "has no value yet" in text
    assert "--bind" in text


# What else is said --------------------------------------------------------------------------------------------------------


def test_options_say_what_a_line_can(capsys: pytest.CaptureFixture[str], document: str) -> None:
    options = ("--bound", "srv=http://10.0.0.2:80", "--down", "s/1", "--client", "10.1.1.1", "--entry-point", "web")
    said_by_options = said(capsys, document, "curl http://shop.example.com/", *options)
    inside = "--bound srv=http://10.0.0.2:80 --down s/1 --from 10.1.1.1 --entry-point web"
    assert said_by_options == said(capsys, document, f"curl http://shop.example.com/ {inside}")
    assert said_by_options == said(capsys, document, "--request", '{"host": "shop.example.com"}', *options)
    assert "100 %  s at http://10.0.0.2:80" in said_by_options


def test_the_answers_request_can_be_asked_again(capsys: pytest.CaptureFixture[str], document: str) -> None:
    line = "curl -b 'a=b; srv=x' -H 'x-b: \xfc' https://shop.example.com/a?b=c --bound srv=http://10.0.0.2:80 --from 10.0.0.9"
    answer = json.loads(said(capsys, document, line, "--report", "json"))
    again = json.loads(said(capsys, document, "--request", json.dumps(answer["request"]), "--report", "json"))
    assert again == answer


def test_a_body_is_not_looked_at_and_curls_own_headers_are_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(DOCUMENT.replace("    priority: 10\n", "    priority: 10\n    match: {header: {name: User-Agent, regex: curl}}\n"))
    text = said(capsys, str(file), "curl -d x=y http://shop.example.com/")
    assert text.startswith("curl -X POST http://shop.example.com/ --entry-point web\n")
    assert "Note: not looked at: the body: no route asks for it.\n" in text
    assert "Note: curl sends a header user-agent of its own, and a route asks for one: it is taken as absent. Say it with -H.\n" in text
    told = said(capsys, str(file), "curl -A curl/8 http://shop.example.com/")
    assert "Note" not in told
    assert "the route 'shop' holds" in told


def test_a_document_without_routes() -> None:
    assert explain(Document.model_validate({}), Request("x", "/")).notes == ("the document has no HTTP routes at all",)


def test_a_canary_that_binds_says_so() -> None:
    made = Document.model_validate(
        {
            "routes": [
                {
                    "name": "r",
                    "canaries": [{"when": {"method": "GET"}, "to": "b", "binds": True}],
                    "split": [{"to": "a"}, {"to": "b"}],
                    "sticky": {"cookie": {"name": "variant"}},
                }
            ],
            "services": {name: {"servers": [{"url": f"http://{name}:80"}]} for name in "ab"},
        }
    )
    assert explain(made, Request("x", "/")).leads[0].cookies[0].why == "the canary binds whom it takes"
    bound = explain(made, Request("x", "/", bindings={"variant": "a"}))
    assert bound.leads[0].cookies[0].why == "the canary binds whom it takes, who was bound to a"
    drawn = explain(made, Request("x", "/", method="PUT"))
    assert {lead.cookies[0].why for lead in drawn.leads} == {"a draw binds, and nothing bound the client on this level"}


def test_a_tcp_route_may_take_what_a_route_would(tmp_path: Path) -> None:
    tree: dict[str, object] = {
        "routes": [{"name": "r", "hosts": ["x.example"], "to": "s"}],
        "services": {"s": {"servers": [{"url": "http://10.0.0.1:80"}]}},
        "tcp_routes": [{"name": "t", "entry_points": ["web"], "to": "t"}],
        "tcp_services": {"t": {"servers": [{"address": "10.0.0.1:80"}]}},
    }
    made = Document.model_validate(tree)
    assert explain(made, Request("x.example", "/", entry_point="web")).notes == (
        "the TCP route 't' takes this connection first: no HTTP route is asked",
    )
    assert not explain(made, Request("x.example", "/", entry_point="web", tls=True, sni="x.example")).notes
    assert not explain(made, Request("x.example", "/", entry_point="other")).notes
    tcp = [{"name": "t", "sni": ["x.example"], "tls": {"passthrough": True, "terminate": False}, "to": "t"}]
    by_name = Request("x.example", "/", tls=True, sni="x.example")
    assert not explain(Document.model_validate({**tree, "tcp_routes": tcp}), by_name).notes
    routes = [{"name": "r", "match": {"host_regex": "^x"}, "to": "s"}]
    assert explain(Document.model_validate({**tree, "tcp_routes": tcp, "routes": routes}), by_name).notes


SPLIT = """\
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop, namespace: prod}
spec:
  routes:
    - match: Host(`shop.example`)
      kind: Rule
      services: [{name: shop, kind: TraefikService}]
---
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: shop, namespace: prod}
spec:
  weighted:
    services: [{name: v1, port: 80, weight: 9}, {name: v2, port: 80, weight: 1}]
    sticky: {cookie: {name: variant}}
"""


def test_a_variants_cookie_is_made_of_what_is_written_whatever_its_servers_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "objects.yaml"
    file.write_text(SPLIT)
    servers = ("--servers", "prod/v1:80=http://10.0.1.1:80", "--servers", "prod/v2:80=http://10.0.2.1:80")
    known, bare = (
        re.findall("variant=([0-9a-f]{16});", said(capsys, str(file), "curl http://shop.example/", *each)) for each in (servers, ())
    )
    assert len(set(known)) == 2
    assert known == bare
    again = said(capsys, str(file), f"curl -b variant={known[1]} http://shop.example/", *servers)
    assert " 100 %  v2 at http://10.0.2.1:80\n" in again
