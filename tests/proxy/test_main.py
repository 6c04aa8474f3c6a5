"""The proxy as a process of its own: arguments, signals, exit codes."""

from __future__ import annotations

import json
import queue
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pinfeather.proxy.__main__ import main
from tests.parts import certificates

DEADLINE = 20.0  # seconds
DOCUMENT = """\
pinfeather: v1
entry_points: {web: 8000, secure: {port: 8443, tls: true}}
routes:
  - {name: r, to: s, entry_points: [web]}
  - {name: elsewhere, to: s, entry_points: [secure]}
services:
  s: {servers: [{url: "http://127.0.0.1:1"}]}
"""


class Running:
    """The process, and the lines of its stderr as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.put(line.rstrip("\n"))

    def line(self, part: str) -> str:
        while part not in (line := self.lines.get(timeout=DEADLINE)):
            pass
        return line


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    process = subprocess.Popen([sys.executable, "-m", "pinfeather.proxy", *arguments], stderr=subprocess.PIPE, text=True)
    run = Running(process)
    try:
        yield run
    finally:
        process.kill()
        process.wait(DEADLINE)
        run.reader.join(DEADLINE)
        assert process.stderr is not None
        process.stderr.close()


def test_a_life(tmp_path: Path) -> None:
    document = tmp_path / "document.yaml"
    document.write_text(DOCUMENT)
    with running(str(document), "--listen", "web=127.0.0.1:0", "--key-file", str(tmp_path / "key")) as proxy:
        assert "'elsewhere': nothing listens on its entry points (secure)" in proxy.line("nothing listens")
        port = int(proxy.line("listens on 127").rsplit(":", 1)[1])
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE)
        assert answer.value.code == 502
        answer.value.close()
        assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
        document.write_text(DOCUMENT.replace("name: r,", "nam: r,"))
        proxy.line("not reloaded, the document from before is kept")
        proxy.line("did you mean `name`?")
        document.write_text(DOCUMENT.replace("name: r,", "name: renamed,"))
        proxy.process.send_signal(signal.SIGHUP)
        proxy.line("reloaded: 2 routes")
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(DEADLINE) == 0


def test_the_admin_port_of_a_process(tmp_path: Path) -> None:
    document = tmp_path / "document.yaml"
    document.write_text(DOCUMENT)
    with running(str(document), "--listen", "web=127.0.0.1:0", "--admin", "127.0.0.1:0") as proxy:
        port = int(proxy.line("admin").rsplit(":", 1)[1])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/state", timeout=DEADLINE) as answer:
            state = json.load(answer)
        assert state["pid"] == proxy.process.pid
        assert state["routes"] == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_certificates_of_the_command_line(tmp_path: Path, workers: int) -> None:
    document = tmp_path / "document.yaml"
    document.write_text(DOCUMENT)
    pairs = [certificates.make(tmp_path, name, f"{name}.example") for name in ("first", "second")]
    flags = [word for chain, key in pairs for word in ("--certificate", f"{chain}:{key}")]
    with running(str(document), "--listen", "secure=127.0.0.1:0", "--workers", str(workers), *flags) as run:
        port = int(run.line("entry point 'secure' listens on").rpartition(":")[2])
        for chain, name in ((pairs[0][0], "first.example"), (pairs[1][0], "second.example")):
            context = ssl.create_default_context(cafile=str(chain))
            with (
                socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as plain,
                context.wrap_socket(plain, server_hostname=name) as sock,
            ):
                sock.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
                assert sock.recv(100).startswith(b"HTTP/1.1 502 ")
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(DEADLINE) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.yaml"], 2, "nowhere.yaml: No such file or directory"),
        (["."], 2, "Is a directory"),
        (["bad.yaml"], 2, "bad.yaml:2:"),
        (["binary.yaml"], 2, "not UTF-8"),
        (["empty.yaml"], 2, "empty.yaml"),
        (["template.yaml"], 2, "template"),
        (["good.yaml", "--listen", "web"], 2, "NAME=HOST:PORT"),
        (["good.yaml", "--listen", "web=127.0.0.1"], 2, "HOST:PORT"),
        (["good.yaml", "--listen", "web=127.0.0.1:70000"], 2, "HOST:PORT"),
        (["good.yaml", "--admin", "0.0.0.0:1"], 2, "loopback"),
        (["good.yaml", "--key-file", "short"], 2, "short:1: a key has at least 16 bytes"),
        (["good.yaml", "--listen", "web=127.0.0.1:0", "--takeover", "no/such/folder"], 4, "No such file or directory"),
        (["good.yaml", "--listen", "web=127.0.0.1:0", "--takeover", "x" * 101], 4, "100 bytes"),
        (["good.yaml", "--listen", "web=127.0.0.1:0", "--access-log", "."], 4, "Is a directory"),
        (["good.yaml", "--workers", "many"], 2, "a number from 1"),
        (["good.yaml", "--certificate", "only.pem"], 2, "is not CERT:KEY"),
        (["good.yaml", "--certificate", "no.pem:no.key"], 2, "no.pem: No such file"),
        (["good.yaml", "--key-file", "no/such/folder"], 4, "No such file or directory"),
        (["good.yaml", "--listen", "web=192.0.2.1:1"], 4, "192.0.2.1"),
        (["tls.yaml"], 2, "--listen"),
    ],
)
def test_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(DOCUMENT)
    (tmp_path / "bad.yaml").write_text("pinfeather: v1\nroutes: [{nam: x}]\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "template.yaml").write_text(DOCUMENT.replace('"http://127.0.0.1:1"', '{template: "{{ x }}"}'))
    (tmp_path / "tls.yaml").write_text("pinfeather: v1\nentry_points: {s: {port: 1, tls: true}}\n")
    (tmp_path / "short").write_text("short\n")
    assert main(arguments) == code
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message
