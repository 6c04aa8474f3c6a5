"""TCP: server names, entry points, splits, and affinity by source address as a binding."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pinfeather.model.decide import State, Status
from pinfeather.model.decide_tcp import Connection, TcpTable, decide_tcp, outcomes_tcp
from pinfeather.model.document import Document
from pinfeather.model.request import affinity

DOCUMENT: dict[str, object] = {
    "pinfeather": "v1",
    "tcp_routes": [
        {"name": "rest", "to": "plain"},
        {"name": "wild", "sni": ["*.db.example.com"], "tls": {"terminate": False, "passthrough": True}, "to": "sticky"},
        {
            "name": "one",
            "sni": ["a.db.example.com"],
            "tls": {"passthrough": True},
            "split": [{"to": "plain", "weight": 3}, {"to": "sticky"}],
        },
        {"name": "h2", "match": {"all": [{"alpn": "h2"}, {"client_ip": "10.0.0.0/8"}]}, "priority": 5, "to": "pg@docker"},
        {"name": "regex", "match": {"sni_regex": "^re"}, "entry_points": ["sql"], "to": "plain"},
        {"name": "clear", "match": {"client_ip": "192.0.2.1"}, "tls": {"terminate": False}, "to": "sticky"},
    ],
    "tcp_services": {
        "plain": {"servers": [{"address": "a:1"}]},
        "sticky": {"servers": [{"address": "b:1"}, {"address": "c:1"}], "sticky": {"source_address": {"size": 10}}},
    },
}
TABLE = TcpTable.of(Document.model_validate(DOCUMENT))


@pytest.mark.parametrize(
    ("connection", "route"),
    [
        (Connection(), "rest"),
        (Connection(tls=True, sni="A.db.example.com."), "one"),
        (Connection(tls=True, sni="b.db.example.com"), "wild"),
        (Connection(tls=True, sni="b.c.db.example.com"), "rest"),
        (Connection(sni="b.db.example.com"), "rest"),
        (Connection(tls=True, sni="a.db.example.com", alpn=("http/1.1", "h2"), client="10.9.9.9"), "h2"),
        (Connection(tls=True, sni="a.db.example.com", alpn=("h2",)), "one"),
        (Connection(tls=True, sni="re.example.com", entry_point="sql"), "regex"),
        (Connection(tls=True, sni="re.example.com", entry_point="web"), "rest"),
        (Connection(client="192.0.2.1"), "clear"),
        (Connection(client="192.0.2.1", tls=True), "rest"),
    ],
)
def test_the_route(connection: Connection, route: str) -> None:
    assert decide_tcp(TABLE, connection, State(), 0).route == route


def test_the_split_and_the_affinity() -> None:
    connection = Connection(tls=True, sni="a.db.example.com")
    found = outcomes_tcp(TABLE, connection, State())
    assert [(part.decision.server_key, part.high) for part in found.parts] == [
        ("a:1", Fraction(3, 4)),
        ("b:1", Fraction(7, 8)),
        ("c:1", Fraction(1)),
    ]
    assert found.at(2**63).service == "plain"
    bound = Connection(tls=True, sni="b.db.example.com", bindings={affinity("sticky"): "c:1"})
    assert decide_tcp(TABLE, bound, State(), 0).server == 1
    down = State({"sticky": (Status.UP, Status.DOWN)})
    assert decide_tcp(TABLE, bound, down, 2**64 - 1).server == 0


def test_nothing_there() -> None:
    assert decide_tcp(TABLE, Connection(), State({"plain": (Status.DOWN,)}), 0).reason == "no server"
    external = decide_tcp(TABLE, Connection(alpn=("h2",), client="10.0.0.1"), State(), 0)
    assert (external.service, external.reason) == ("pg@docker", "external")
    empty = TcpTable.of(Document.model_validate({"pinfeather": "v1"}))
    assert decide_tcp(empty, Connection(), State(), 0).status == 404
    assert outcomes_tcp(empty, Connection(), State()).at(5).status == 404
