"""What is kept of a head for the next one that is alike must not answer for one that is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy import wire
from pinfeather.proxy.backend import BackendConnection, Origin, Pool
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.passage import Passage
from pinfeather.proxy.wire import parse_request, parse_response

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage, Turn


def _head(line: str, *fields: str) -> bytes:
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    "fields",
    [
        ("Host: b.example", "X-Long-Enough: to be the same at the end"),
        ("Host: a.example", "X-Long-Enough: to be the same at the enD"),
        ("A: b\r\nHost: a.example", "X-Long-Enough: to be the same at the end"),
        ("X-Long-Enough: to be the same at the end", "Host: a.example"),
    ],
)
def test_fields_that_are_only_alike(fields: tuple[str, ...]) -> None:
    first = parse_request(_head("GET / HTTP/1.1", "Host: a.example", "X-Long-Enough: to be the same at the end"))
    head = _head("GET / HTTP/1.1", *fields)
    assert parse_request(head, first.section) == parse_request(head)
    assert parse_request(head, first.section).section is not first.section


def test_the_same_fields_of_another_client() -> None:
    request = parse_request(_head("GET / HTTP/1.1", "Host: a.example:81"))
    assert "X-Real-Ip: 10.0.0.1\r\n" in Passage(request, "10.0.0.1", "http").lines
    lines = Passage(request, "10.0.0.2", "https").lines
    assert "X-Real-Ip: 10.0.0.2\r\n" in lines
    assert "X-Forwarded-Proto: https\r\n" in lines


def test_long_lines_are_not_kept() -> None:
    """A thousand of eight kilobytes would be what fills the memory."""
    before = wire._known_line.cache_info().currsize
    assert parse_request(_head(f"GET /{'a' * 2000} HTTP/1.1", "Host: a.example")).path == f"/{'a' * 2000}"
    assert wire._known_line.cache_info().currsize == before


def test_one_server_and_clients_of_several_kinds(play: Play, server: type[Backend]) -> None:
    """The server says the same head each time, on one connection; what each client is told of it is not the same."""

    async def chunks(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")

    async def scenario(stage: Stage) -> None:
        for _ in range(2):
            for line, ends, in_chunks in (("1.1", "", True), ("1.1", "Connection: close", True), ("1.0", "", False), ("1.1", "", True)):
                answer = await stage.send(_head(f"GET / HTTP/{line}", "Host: a.example", *([ends] if ends else [])))
                assert answer.body == b"ok"
                assert answer.all("transfer-encoding") == (["chunked"] if in_chunks else [])
                assert answer.all("connection") == (["close"] if ends or line == "1.0" else [])
        assert stage.backends["b"].connections == 1

    play(scenario, server("b", chunks))


def test_a_known_head_that_comes_in_pieces() -> None:
    """What was seen of its first piece is not to be taken for a part of the next head."""
    connection = BackendConnection(Pool(Settings()), Origin("127.0.0.1", 80, False, "b"))
    long = _head("HTTP/1.1 200 OK", "X-Long: " + "x" * 200, "Content-Length: 2")
    for pieces in ((long,), (long[:150], long[150:]), (_head("HTTP/1.1 201 Created", "Content-Length: 5"),)):
        for piece in pieces[:-1]:
            connection.buffer += piece
            assert connection.head("GET") is None
        body = b"e\r\n\r\nf" if pieces[0].startswith(b"HTTP/1.1 201") else b"ab"
        connection.buffer += pieces[-1] + body
        assert connection.head("GET") == parse_response(b"".join(pieces), "GET")
        assert connection.buffer == body
        connection.buffer.clear()
