"""Servers that speak TLS: who is trusted is asked, who is not gets nothing, and the name in the hello is the server's."""

from __future__ import annotations

import http.client
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pinfeather.verify.starting import Process, free_ports
from tests.parts import certificates


@dataclass
class Server:
    port: int
    chain: Path
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Host, and the name in the hello."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    chain, key = certificates.make(tmp_path, "server", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    names: list[str] = []
    context.sni_callback = lambda _sock, name, _context: names.append(name or "")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            found.seen.append((self.headers["Host"], names[-1]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    running.socket = context.wrap_socket(running.socket, server_side=True, do_handshake_on_connect=False)
    found = Server(running.server_address[1], chain)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found
    running.shutdown()
    running.server_close()
    thread.join()


def _asked(tmp_path: Path, url: str, environment: dict[str, str], more: str = "") -> tuple[int, bytes]:
    document, (port, admin) = tmp_path / "document.yaml", free_ports(2)
    document.write_text(
        "pinfeather: v1\nroutes: [{name: a, hosts: [a.example], entry_points: [web], to: a}]\n"
        f'services: {{a: {{servers: [{{url: "{url}"}}]{more}}}}}\n'
    )
    command = [sys.executable, "-m", "pinfeather", "proxy", str(document), f"--listen=web=127.0.0.1:{port}", f"--admin=127.0.0.1:{admin}"]
    process = Process(command, tmp_path / "proxy.log", environment)
    try:
        process.wait(lambda: "admin listens on" in process.log(), "listening")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        answers = []
        for _ in range(2):  # the second one on the kept connection
            connection.request("GET", "/", headers={"Host": "a.example"})
            answer = connection.getresponse()
            answers.append((answer.status, answer.read()))
        connection.close()
    finally:
        process.stop()
    assert answers[0] == answers[1]
    return answers[0]


def test_a_server_whose_certificate_is_trusted_is_asked(server: Server, tmp_path: Path) -> None:
    assert _asked(tmp_path, f"https://localhost:{server.port}", {"SSL_CERT_FILE": str(server.chain)}) == (200, b"ok")
    assert server.seen == [("a.example", "localhost")] * 2


def test_its_own_host_goes_to_who_does_not_want_the_client_s(server: Server, tmp_path: Path) -> None:
    more = ", pass_host_header: false"
    assert _asked(tmp_path, f"https://localhost:{server.port}", {"SSL_CERT_FILE": str(server.chain)}, more) == (200, b"ok")
    assert server.seen == [(f"localhost:{server.port}", "localhost")] * 2


@pytest.mark.parametrize(("host", "trusted"), [("localhost", False), ("127.0.0.1", True)], ids=["unknown authority", "another name"])
def test_who_is_not_trusted_is_told_nothing(host: str, trusted: bool, server: Server, tmp_path: Path) -> None:
    environment = {"SSL_CERT_FILE": str(server.chain)} if trusted else {}
    assert _asked(tmp_path, f"https://{host}:{server.port}", environment) == (502, b"Bad Gateway")
    assert server.seen == []


def test_a_servers_transport_that_trusts_anybody_is_not_followed(server: Server, tmp_path: Path) -> None:
    """It is not executed, which is said, and nobody is trusted for it."""
    more = ", servers_transport: lax}}\nservers_transports: {lax: {insecureSkipVerify: true"
    assert _asked(tmp_path, f"https://localhost:{server.port}", {}, more) == (502, b"Bad Gateway")
    assert server.seen == []
    assert "the servers transport is not executed" in (tmp_path / "proxy.log").read_text("utf-8")
