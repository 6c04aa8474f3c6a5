"""A demo server, started as the process that it is."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

_PATIENCE = 20.0  # seconds


@dataclass
class Running:
    process: subprocess.Popen[str]
    port: int

    def ask(self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            connection.request(method, target, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def _command(port: int) -> list[str]:
    return [sys.executable, "-m", "pinfeather.verify.demo", "--name", "shop-v1", "--hostname", "shop-v1-a", "--port", str(port)]


@pytest.fixture
def demo() -> Iterator[Running]:
    process = subprocess.Popen(_command(0), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            yield Running(process, int(said.rpartition(":")[2]))
        finally:
            process.kill()


def test_says_who_it_is_and_what_it_was_asked(demo: Running) -> None:
    status, text = demo.ask("GET", "/some/path?x=1", {"X-One": "1", "Cookie": "canary=v2"})
    lines = text.splitlines()
    assert status == 200
    assert lines[:3] == ["Name: shop-v1", "Hostname: shop-v1-a", "IP: 127.0.0.1"]
    assert lines[3].startswith("RemoteAddr: 127.0.0.1:")
    assert lines[4] == "GET /some/path?x=1 HTTP/1.1"
    assert {"X-One: 1", "Cookie: canary=v2", f"Host: 127.0.0.1:{demo.port}"} <= set(lines[5:])


def test_is_healthy(demo: Running) -> None:
    assert demo.ask("GET", "/healthz") == (200, "ok\n")


def test_one_connection_carries_several_requests(demo: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=_PATIENCE)
    connection.connect()
    first = connection.sock
    for method, body in (("GET", None), ("POST", b"x" * 100_000), ("HEAD", None), ("GET", None)):
        connection.request(method, "/", body=body)
        answer = connection.getresponse()
        assert answer.status == 200
        assert bool(answer.read()) is (method != "HEAD")
        assert connection.sock is first
    connection.close()


@pytest.mark.parametrize(
    "text", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"]
)
def test_what_is_no_request_is_refused(demo: Running, text: bytes) -> None:
    with socket.create_connection(("127.0.0.1", demo.port), timeout=_PATIENCE) as client:
        client.sendall(text + b"\r\n\r\n")
        with client.makefile("rb") as answers:
            assert answers.read().startswith(b"HTTP/1.1 400 ")
    assert demo.ask("GET", "/healthz")[0] == 200


def test_close_refuses_connections_and_then_listens_again(demo: Running) -> None:
    with socket.create_connection(("127.0.0.1", demo.port), timeout=_PATIENCE) as kept:
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(1000).startswith(b"HTTP/1.1 200 ")
        started = time.monotonic()
        assert demo.ask("POST", "/control/close?seconds=2") == (200, "closed for 2 s\n")
        with pytest.raises(ConnectionRefusedError):
            demo.ask("GET", "/")
        assert kept.recv(1000) == b"", "a connection that was open is closed too"
    while True:
        try:
            assert demo.ask("GET", "/healthz")[0] == 200
            break
        except ConnectionRefusedError:
            assert time.monotonic() - started < _PATIENCE
    assert time.monotonic() - started >= 2


@pytest.mark.parametrize(
    ("method", "query", "headers", "status"),
    [
        ("GET", "seconds=1", {}, 405),
        ("POST", "", {}, 400),
        ("POST", "seconds=0", {}, 400),
        ("POST", "seconds=nan", {}, 400),
        ("POST", "seconds=1e9", {}, 400),
        ("POST", "seconds=soon", {}, 400),
        ("POST", "seconds=1", {"Host": "shop.localhost"}, 403),
        ("POST", "seconds=1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("POST", "seconds=1", {"Origin": "http://evil.example"}, 403),
    ],
)
def test_close_is_for_who_speaks_to_the_server_itself(demo: Running, method: str, query: str, headers: dict[str, str], status: int) -> None:
    assert demo.ask(method, f"/control/close?{query}", headers)[0] == status
    assert demo.ask("GET", "/healthz")[0] == 200


def test_echo_sends_every_message_back(demo: Running) -> None:
    with socket.create_connection(("127.0.0.1", demo.port), timeout=_PATIENCE) as client, client.makefile("rb") as answers:
        client.sendall(
            b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = b"".join(iter(answers.readline, b"\r\n"))
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head  # the example of RFC 6455, 1.3
        zero = b"\0\0\0\0"
        client.sendall(b"\x81\x85" + b"\x01\x02\x03\x04" + bytes(b ^ m for b, m in zip(b"hello", b"\x01\x02\x03\x04\x01", strict=True)))
        assert answers.read(7) == b"\x81\x05hello"
        client.sendall(b"\x82\xfe" + (300).to_bytes(2) + zero + b"x" * 300)
        assert answers.read(304) == b"\x82\x7e" + (300).to_bytes(2) + b"x" * 300
        client.sendall(b"\x89\x81" + zero + b"p")
        assert answers.read(3) == b"\x8a\x01p"
        client.sendall(b"\x88\x82" + zero + b"\x03\xe8")
        assert answers.read() == b"\x88\x02\x03\xe8"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once(demo: Running, number: signal.Signals) -> None:
    idle = socket.create_connection(("127.0.0.1", demo.port), timeout=_PATIENCE)
    assert demo.ask("GET", "/")[0] == 200
    demo.process.send_signal(number)
    out, err = demo.process.communicate(timeout=_PATIENCE)
    idle.close()
    assert (demo.process.returncode, out, err) == (0, "", "")


def test_a_taken_port_is_said(demo: Running) -> None:
    second = subprocess.run(_command(demo.port), capture_output=True, text=True, timeout=_PATIENCE, check=False)
    assert second.returncode == 4
    assert second.stderr == f"shop-v1-a: cannot listen on 127.0.0.1:{demo.port}: address already in use\n"


def test_loads_nothing_but_the_standard_library() -> None:
    code = "import sys, pinfeather.verify.demo; print([n for n in ('pydantic', 'pulumi', 'yaml') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_PATIENCE, check=True)
    assert done.stdout == "[]\n"
