"""Proxies that answer nothing, or without end, and how `verify` ends when somebody ends it: nothing that it started is left."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pinfeather.cli import main
from pinfeather.verify.placing import certificate, server_context
from tests.required import missing

ROOT = Path(__file__).parents[2]
WHO = ("--identify", "header:X-Who")
ONE = """pinfeather: v1
entry_points: {web: 8000}
routes: [{name: a, hosts: [a.example], entry_points: [web], to: a}]
services: {a: {servers: [{url: "http://127.0.0.1:2"}]}}
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(ONE)
    return path


def _listening(answer: Callable[[socket.socket], None]) -> socket.socket:
    """A server that does with each connection whatever `answer` does, on a thread of its own."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        held = []
        with contextlib.suppress(OSError):
            while True:
                held.append(server.accept()[0])
                threading.Thread(target=answer, args=(held[-1],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return server


def _drips(stream: socket.socket) -> None:
    with contextlib.suppress(OSError):
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            stream.sendall(b"x")
            threading.Event().wait(0.05)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda _: None, "timed out"),
        (_drips, "timed out"),
        (lambda stream: stream.close(), "(remote end closed connection without response|connection reset by peer)"),
        (lambda stream: (stream.sendall(b"SSH-2.0-x\r\n"), stream.close()), "no HTTP answer"),
    ],
    ids=["silent", "a byte now and then", "closes", "another protocol"],
)
def test_who_answers_nothing_is_asked_no_more(
    answer: Callable[[socket.socket], None], why: str, document: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinfeather.verify.asking.PATIENCE", 0.3)
    with _listening(answer) as server:
        assert main(["verify", str(document), "--url", f"web=http://127.0.0.1:{server.getsockname()[1]}", *WHO]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(rf"the proxy at http://127.0.0.1:\d+ does not answer: {why}.* \(GET .*\); start it", said.err.splitlines()[-1])


def test_a_certificate_that_is_not_trusted_is_said(
    document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("openssl") is None:
        missing("openssl (the package openssl brings it)")
    context = server_context(*certificate(tmp_path))

    def hello(stream: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(stream, server_side=True):
            pass

    with _listening(hello) as server:
        assert main(["verify", str(document), "--url", f"web=https://127.0.0.1:{server.getsockname()[1]}", *WHO]) == 4
    assert "no TLS (certificate verify failed)" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_what_was_started(number: signal.Signals, document: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "pinfeather", "verify", str(document), "--start", "reference", "--doubt", "1e-12"]
    command += ["--rate", "5"]  # it takes its time
    with subprocess.Popen(
        command,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests that run in a shell's background are born deaf to it
    ) as run:
        assert run.stderr is not None
        assert "asking up to" in run.stderr.readline()
        (folder,) = tmp_path.glob("pinfeather-verify-*")
        (started,) = [process for process in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(process.info["cmdline"] or ())]
        run.send_signal(number)
        assert run.wait(30) == 128 + number
    assert not folder.exists()
    assert not started.is_running()
