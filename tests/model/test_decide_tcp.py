"""TCP: server names, entry points, splits, and affinity by source address as a binding."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pinfeather.model.decide import Kind, State, Status
from pinfeather.model.decide_tcp import Connection, TcpTable, decide_tcp, outcomes_tcp
from pinfeather.model.document import Document
from pinfeather.model.request import affinity
from pinfeather.model.trace_tcp import rivals_tcp, trace_tcp

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


# Why --------------------------------------------------------------------------------------------------------------------

CONNECTIONS = [
    Connection(
        tls=sni is not None, sni=sni, alpn=alpn, client=client, entry_point=point, bindings={affinity("sticky"): bound} if bound else {}
    )
    for sni in (None, "a.db.example.com", "b.db.example.com", "re.example.com")
    for alpn in ((), ("h2",))
    for client in ("127.0.0.1", "10.0.0.1", "192.0.2.1")
    for point in ("", "sql")
    for bound in ("", "c:1", "gone:1")
]


@pytest.mark.parametrize("state", [State(), State({"sticky": (Status.UP, Status.DOWN)}), State({"plain": (Status.DOWN,)})])
def test_the_steps_lead_where_the_decision_does(state: State) -> None:
    for connection in CONNECTIONS:
        steps, found = trace_tcp(TABLE, connection, state), outcomes_tcp(TABLE, connection, state)
        tried = [step for step in steps if step.kind is Kind.ROUTE]
        holding = [route.name for route in (TABLE.document.tcp_routes[int(step.path[1])] for step in tried if step.holds)]
        assert holding == [found.parts[0].decision.route]
        ends = {step.path: step.share for step in steps if step.kind is Kind.SERVER and step.holds}
        assert sorted(ends.values()) == sorted(part.high - part.low for part in found.parts if part.decision.reason == "forward")


def test_who_lost_would_have_won_alone() -> None:
    for connection in CONNECTIONS:
        lost = rivals_tcp(TABLE, connection)
        winner = decide_tcp(TABLE, connection, State(), 0).route
        left = Document.model_validate({**DOCUMENT, "tcp_routes": [each for each in _routes() if each["name"] != winner]})
        then = decide_tcp(TcpTable.of(left), connection, State(), 0).route
        assert then == (TABLE.document.tcp_routes[lost[0].route].name if lost else None)


def _routes() -> list[dict[str, object]]:
    routes = DOCUMENT["tcp_routes"]
    assert isinstance(routes, list)
    return routes


def test_why_one_is_asked_before_another() -> None:
    found = rivals_tcp(TABLE, Connection(tls=True, sni="a.db.example.com", alpn=("h2",), client="10.0.0.1"))
    said = {TABLE.document.tcp_routes[each.route].name: each.why for each in found}
    assert said["one"] == said["rest"] == "the other one has a higher priority (5 to 0)"
    found = rivals_tcp(TABLE, Connection(tls=True, sni="a.db.example.com"))
    assert [each.why for each in found] == [
        "the other one asks for a more exact server name (a full name; this one: a wildcard)",
        "the other one asks for a more exact server name (a full name; this one: any name)",
    ]


def test_the_condition_that_failed() -> None:
    steps = trace_tcp(TABLE, Connection(tls=True, sni="x.example.com", client="192.0.2.1"), State())
    assert [step.path for step in steps if not step.holds] == [
        ("tcp_routes", 3, "match", "all", 0, "alpn"),
        ("tcp_routes", 2, "sni"),
        ("tcp_routes", 1, "sni"),
        ("tcp_routes", 4, "entry_points"),
        ("tcp_routes", 5, "tls"),
    ]
