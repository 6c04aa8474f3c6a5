"""Connections as lines, and `pinfeather explain` of TCP routes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather import _connection, _explain_render, _request_json
from pinfeather._explain_tcp import explain_tcp
from pinfeather._shell import LineError
from pinfeather.model.decide import State, Status
from pinfeather.model.decide_tcp import Connection, TcpTable, outcomes_tcp
from pinfeather.model.document import Document
from pinfeather.model.request import affinity
from tests.explain.test_explain import said

connections = st.builds(
    Connection,
    entry_point=st.sampled_from(["", "sql", "höhle"]),
    tls=st.booleans(),
    sni=st.sampled_from([None, "db.example.com", "_x"]),
    alpn=st.sampled_from([(), ("h2",), ("h2", "http/1.1")]),
    client=st.sampled_from(["127.0.0.1", "10.0.0.1", "::1"]),
    bindings=st.dictionaries(st.sampled_from([affinity("s"), affinity("ü b")]), st.sampled_from(["a:1", "[::1]:2"]), max_size=2),
).map(lambda it: it if it.tls else Connection(it.entry_point, False, None, (), it.client, it.bindings))


@settings(deadline=None)
@given(connections, st.sampled_from([None, 5432]))
def test_a_line_and_an_object_read_as_what_they_were_written_of(connection: Connection, port: int | None) -> None:
    states = ((Status.DOWN, "s", 0),)
    line = _connection.line(connection, port, states)
    assert _connection.is_one(line)
    assert _connection.parse(line) == (connection, port, states)
    read = _request_json.read(json.dumps(_request_json.written(connection)))
    assert isinstance(read, _connection.AskedConnection)
    assert read.connection == connection


def test_a_name_is_said_in_a_hello() -> None:
    assert _connection.named("db.example.com:5432") == "tls://db.example.com:5432"
    assert _connection.named(":25") == _connection.named("tcp://:25") == "tcp://:25"
    assert _connection.parse("tls://DB.example.com.:5432").connection.sni == "db.example.com"
    assert _connection.parse("tls://10.0.0.1:5432").connection.sni is None


WRONG = {
    "tls://db/path": "names no connection: write tls://NAME:PORT",
    "tls://db:99999": "names no connection",
    "tls://db -H a:b": "a TCP connection has no headers",
    "tls://db -d x": "a TCP connection has no headers",
    "tls://db --frob": "--frob is not known here",
    "tls://a tls://b": "two URLs",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong(line: str) -> None:
    with pytest.raises(LineError) as wrong:
        _connection.parse(line)
    assert WRONG[line] in str(wrong.value)


def test_entry_points() -> None:
    def point(line: str, **tree: object) -> str:
        services = {"s": {"servers": [{"address": "a:1"}]}}
        routes = tree.pop("points", [[]])
        assert isinstance(routes, list)
        made = [{"name": f"r{at}", "to": "s", "entry_points": points} for at, points in enumerate(routes)]
        return _connection.entry_point(
            _connection.parse(line), Document.model_validate({**tree, "tcp_routes": made, "tcp_services": services})
        )

    ports = {"sql": 5432, "smtp": 25}
    assert point("tcp://:25", entry_points=ports) == "smtp"
    assert point("tls://x", entry_points=ports, points=[["sql"]]) == "sql"
    assert point("tls://x", entry_points={"only": 1}) == "only"
    assert point("tls://x --entry-point smtp", entry_points=ports) == "smtp"
    assert point("tls://x", entry_points=ports) == ""
    with pytest.raises(LineError, match="--entry-point sql, or smtp"):
        point("tls://x", entry_points=ports, points=[["sql"], ["smtp"]])


# The command -----------------------------------------------------------------------------------------------------------------

DOCUMENT = """\
pinfeather: v1
entry_points: {web: 80, sql: 5432}
routes:
  - {name: shop, hosts: [shop.example.com], tls: {}, to: shop}
services:
  shop: {servers: [{url: "http://10.0.0.1:80"}]}
tcp_routes:
  - {name: rest, to: plain}
  - name: one
    sni: [a.db.example.com]
    tls: {terminate: false, passthrough: true}
    middlewares: [office]
    split: [{to: plain, weight: 3}, {to: pinned, weight: 1}]
  - {name: h2, match: {all: [{alpn: h2}, {client_ip: 10.0.0.0/8}]}, to: pinned, priority: 5}
tcp_services:
  plain: {servers: [{address: "10.0.1.1:5432"}]}
  pinned: {servers: [{address: "10.0.2.1:5432"}, {address: "10.0.2.2:5432"}], sticky: {source_address: {}}}
tcp_middlewares:
  office: {ip_allow_list: {source_ranges: [10.0.0.0/8]}}
"""


@pytest.fixture
def document(tmp_path: Path) -> str:
    file = tmp_path / "routes.yaml"
    file.write_text(DOCUMENT)
    return str(file)


def test_by_name_by_weights_and_who_lost(capsys: pytest.CaptureFixture[str], document: str) -> None:
    text = said(capsys, document, "--tcp", "a.db.example.com:5432")
    assert text.startswith("tls://a.db.example.com --entry-point sql\n  on the entry point sql, over TLS\n")
    assert "  75 %  plain at 10.0.1.1:5432\n" in text
    assert "12.5 %  pinned at 10.0.2.1:5432\n" in text
    assert f"  office (ip_allow_list)   [{document}:19]\n" in text
    assert f"  the TCP route 'one' holds   [{document}:9]\n" in text
    assert f"  TCP route rest: the other one asks for a more exact server name (a full name; this one: any name)   [{document}:8]\n" in text
    assert f"  TCP route h2: it asks for the protocol h2; this one offers none   [{document}:14]\n" in text
    assert text == said(capsys, document, "tls://a.db.example.com:5432")


def test_affinity_states_and_clients(capsys: pytest.CaptureFixture[str], document: str) -> None:
    line = "tls://x.example.com:5432 --alpn h2 --from 10.1.1.1"
    bound = said(capsys, document, line, "--bound", "pinned=10.0.2.2:5432")
    assert " 100 %  pinned at 10.0.2.2:5432\n" in bound
    assert "the client is bound to the server 10.0.2.2:5432" in bound
    down = said(capsys, document, line, "--down", "pinned")
    assert " 100 %  closed: pinned has no server that is up\n" in down
    assert "no server is up: the connection is closed" in down
    other = said(capsys, document, "tls://x.example.com:5432 --alpn h2")
    assert "TCP route h2: it asks for a client in 10.0.0.0/8; this one is at 127.0.0.1" in other


def test_https_comes_first_for_a_name_that_an_http_route_names(capsys: pytest.CaptureFixture[str], document: str) -> None:
    text = said(capsys, document, "tls://shop.example.com:80")
    assert "Note: the HTTP route 'shop' takes this connection first: HTTPS is spoken for that name, and no TCP route is asked.\n" in text
    assert "Note" not in said(capsys, document, "tls://a.db.example.com:80")
    Path(document).write_text(DOCUMENT.replace("tls: {}, to: shop", "tls: {}, entry_points: [sql], to: shop"))
    assert "Note" not in said(capsys, document, "tls://shop.example.com:80")


def test_json_and_nothing_there(capsys: pytest.CaptureFixture[str], document: str, tmp_path: Path) -> None:
    tree = json.loads(said(capsys, document, "--request", '{"sni": "a.db.example.com", "port": 5432}', "--report", "json"))
    assert [lead["share"] for lead in tree["outcomes"]] == ["3/4", "1/8", "1/8"]
    assert tree["won"] == "tcp_routes.1"
    assert tree["request"]["line"] == "tls://a.db.example.com --entry-point sql"
    bare = tmp_path / "bare.yaml"
    bare.write_text("pinfeather: v1\n")
    text = said(capsys, str(bare), "--tcp", ":25")
    assert " 100 %  closed: no TCP route takes it\n" in text
    assert "Note: the document has no TCP routes at all.\n" in text
    assert "there is no service of that name" in said(capsys, document, "--tcp", ":25", "--down", "shop", code=2)


@settings(deadline=None)
@given(connections)
def test_it_says_what_the_core_decides(connection: Connection) -> None:
    made = Document.model_validate(yaml.safe_load(DOCUMENT))
    found, decided = explain_tcp(made, connection), outcomes_tcp(TcpTable.of(made), connection, State())
    assert {lead.decision for lead in found.leads} == {part.decision for part in decided.parts}
    assert sum(lead.share for lead in found.leads) == 1
    assert (found.won is None) == (decided.parts[0].decision.route is None)
    assert _explain_render.text(found)
