"""`pinfeather explain`: on every row of every sheet, on the seeds, and on what is wrong."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfeather import _explain_render
from pinfeather._explain import explain
from pinfeather.cli import main
from pinfeather.model.decide import Table, decide, outcomes
from pinfeather.model.document import Document
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
        assert document.routes[found.won.route].name == first.route
        assert found.won.canary == first.canary
    assert [cookie.name for cookie in found.leads[0].cookies] == [binding.cookie.name for binding in found.leads[0].decision.set_cookies]
    assert _explain_render.text(found)
    assert json.loads(_explain_render.as_json(found))["outcomes"]


@given(traffic.documents(), st.integers(0, 40))
def test_who_would_have_taken_it_does_without_the_winner(document: Document, number: int) -> None:
    made = probes.probes(document, 60)
    request, state = made[number % len(made)]
    found = explain(document, request, state)
    assert len([lost for lost in found.lost if lost.would_hold]) == len(rivals(found.table, found.request, state))
    if found.won is None:
        assert not rivals(found.table, found.request, state)
        return
    left = [
        each for each in rivals(found.table, found.request, state) if found.won.canary is not None or each.rung.route != found.won.route
    ]
    route = document.routes[found.won.route]
    if found.won.canary is None:
        without = document.model_copy(update={"routes": tuple(each for each in document.routes if each is not route)})
    else:
        kept = tuple(each for at, each in enumerate(route.canaries) if at != found.won.canary)
        routes = tuple(each.model_copy(update={"canaries": kept}) if each is route else each for each in document.routes)
        without = document.model_copy(update={"routes": routes})
    then = decide(Table.of(Document.model_validate(without.model_dump(by_alias=True))), found.request, state, 0)
    assert (then.route is None) == (not left)
    if left:
        assert then.route == document.routes[left[0].rung.route].name


# The seed ---------------------------------------------------------------------------------------------------------------


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["explain", *words]) == code
    shown = capsys.readouterr()
    return shown.out if code == 0 else shown.err


def test_the_seed_v1_by_default_with_its_cookie(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, SEED, f"curl {URL}", *FILLED)
    assert "50 %  my-app-v1-prod at http://10.0.1.1:80\n" in text
    assert "Set-Cookie: my-sticky-cookie=<http://10.0.1.1:80>; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=None" in text
    assert "v2-prod at" not in text
    assert "its condition on a header does not hold   [" in text


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


def test_the_seed_why_notcanary_is_a_trap(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, SEED, f"curl -b notcanary=v22 {URL}", *FILLED)
    assert "my-app-v2-prod at http://10.0.2.1:80\n" in text
    assert (
        "Note: the regex .*canary=v2.* is held against the whole Cookie header, not against a cookie: it found 'canary=v2' inside" in text
    )
    assert "inside notcanary=v22." in text
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
    assert tree["request"]["curl"] == "curl -H 'x-a: b' http://shop.example.com/ --entry-point web"
    assert tree["steps"][0] | {"file": ""} == {
        "kind": "route", "holds": True, "said": "the route 'shop' holds", "share": None, "path": "routes.1", "file": "", "line": 8, "column": 5,
    }  # fmt: skip


WRONG = {
    "no request": (["FILE"], "say what to ask"),
    "no curl line": (["FILE", "curl ftp://x"], "is no URL that a proxy is asked for"),
    "no service": (["FILE", "curl http://x/ --down t"], "there is no service of that name"),
    "no JSON": (["FILE", "--request", "{"], "--request is no JSON"),
    "no host": (["FILE", "--request", "{}"], 'at least "host"'),
    "unknown field": (["FILE", "--request", '{"host": "x", "verb": "GET"}'], "'verb' is not known"),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong(capsys: pytest.CaptureFixture[str], document: str, words: str) -> None:
    given_, message = WRONG[words]
    assert message in said(capsys, *(document if word == "FILE" else word for word in given_), code=2)


def test_a_template_is_said_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, SEED, f"curl {URL}", code=2)
    assert "has no value yet" in text
    assert "--bind" in text
