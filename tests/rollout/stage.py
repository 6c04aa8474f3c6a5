"""A stage for rollouts: demo servers, a real reference proxy that watches a file, and a deployment that copies the document there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pinfeather.verify.placing import DemoServers
from tests.parts.processes import free_ports
from tests.parts.proxies import DEADLINE, get, running, until

ROOT = Path(__file__).parents[2]
# As `pinfeather rollout` does it, with its exit codes for what goes wrong.
COMMAND = """
import sys
from pinfeather.cli import _guarded
from pinfeather.rollout.arguments import parser
from pinfeather.rollout.command import run
given = parser().parse_args()
sys.exit(_guarded(lambda: run(given)))
"""
DOCUMENT = """\
# The shop. Weights: 90 and 10.
pinfeather: v1
entry_points: {{web: 8000}}
routes:
  - name: 'shop'
    hosts: [shop.example]   # 90
    split:
      - {{to: v1, weight: 90}}  # the old one
      -   weight: 0x0A   # ten
          to: "v2"
    sticky: {{cookie: {{name: variant, http_only: true}}}}
services:
  v1: {{servers: [{{url: "http://{v1}"}}]}}
  v2: {{servers: [{{url: "http://{v2}"}}]}}
"""
# Copies the document, notes that it did, and does what the files beside it say: fails at its Nth run, waits, or copies nothing.
UP = """
import os, pathlib, select, shutil, sys
document, here = map(pathlib.Path, sys.argv[1:])
with (here / "ups").open("a") as ups:
    ups.write(f"{os.getpid()}\\n")
number = len((here / "ups").read_text().splitlines())
def asked(name):
    return (here / name).is_file() and str(number) in (here / name).read_text().split()
print("deploying", number, flush=True)
if asked("waits"):
    with (here / "gate").open("rb") as gate:
        gate.read(1)  # until the test opens it, or goes
if asked("fails"):
    print("error: the API server has gone away")
    sys.exit(3)
if not (here / "ignores").exists():
    shutil.copy(document, here / "new")
    (here / "new").replace(here / "served.yaml")
"""


class _Bad(BaseHTTPRequestHandler):
    """A version that is broken: it answers, and nothing but 500."""

    def do_GET(self) -> None:
        self.send_response(500)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the name that the library asks for

    def log_message(self, *_: object) -> None:
        pass


class Stage:
    """One document, what deploys it, and the proxy that serves what was deployed."""

    def __init__(self, folder: Path, v1: str, v2: str) -> None:
        self.folder = folder
        (folder / "project").mkdir()
        self.document = folder / "project" / "shop.yaml"
        self.document.write_bytes(DOCUMENT.format(v1=v1, v2=v2).replace("\n", "\r\n").encode())
        self.before = self.document.read_bytes()
        (folder / "served.yaml").write_bytes(self.before)
        (folder / "up.py").write_text(UP)
        os.mkfifo(folder / "gate")
        self.log = folder / "project" / ".pinfeather" / "rollout-shop.log"
        (self.port,) = free_ports(1)

    def words(self, *more: str, steps: str = "30,100", up: str = "") -> list[str]:
        up = up or f"{sys.executable} {self.folder / 'up.py'} {self.document} {self.folder}"
        names = "--rate 2000 --name v1-a=v1 --name v2-a=v2"
        return [
            *(str(self.document), "--route", "shop", "--to", "v2", "--steps", steps, "--up", up),
            *("--verify-url", f"p:web=http://127.0.0.1:{self.port}", f"--verify-options={names}", "--settle", "3s", "--hold", "0s", *more),
        ]

    def run(self, *more: str, steps: str = "30,100", up: str = "") -> subprocess.CompletedProcess[str]:
        """To its end."""
        command = [sys.executable, "-c", COMMAND, *self.words(*more, steps=steps, up=up)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=4 * DEADLINE, check=False)

    @contextmanager
    def begun(self, *more: str, steps: str = "30,100") -> Iterator[subprocess.Popen[str]]:
        """One that runs; it is killed at the end if it still does."""
        command = [sys.executable, "-c", COMMAND, *self.words(*more, steps=steps)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    @property
    def records(self) -> list[dict[str, object]]:
        """What the log says."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def whats(self) -> list[object]:
        """What it says of, without verifies: those of a deployment that settles are as many as it takes."""
        found: list[object] = []
        for record in self.records:
            command = record.get("command")
            if record["what"] == "runs":
                found.append("verify" if isinstance(command, list) and "verify" in command else "up")
            elif record["what"] != "ended":
                found.append(record["what"])
        return [each for index, each in enumerate(found) if each != "verify" or found[index - 1] != "verify"]

    def until_logged(self, what: str, count: int = 1) -> None:
        until(lambda: sum(record["what"] == what for record in self.whole()) >= count)

    def until_longer(self, count: int, process: subprocess.Popen[str]) -> None:
        """Until the log has so many lines, or the process has ended."""
        until(lambda: len(self.whole()) >= count or process.poll() is not None)

    def whole(self) -> list[dict[str, object]]:
        """The same while it is being written."""
        if not self.log.exists():
            return []
        text = self.log.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    @property
    def ups(self) -> int:
        """How often it was deployed."""
        path = self.folder / "ups"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def says(self, name: str, text: str) -> None:
        """Tells the deployment what to do."""
        (self.folder / name).write_text(text)

    def until_waiting(self, number: int) -> None:
        """Until the deployment of this number has begun; it waits at the gate, or is about to."""
        until(lambda: self.ups >= number)

    def open(self) -> None:
        """Lets the deployment go on that waits at the gate."""
        with (self.folder / "gate").open("wb") as gate:
            gate.write(b"x")

    def weights(self) -> list[str]:
        """As they stand in the document."""
        return [
            part.partition(b"weight: ")[2].split()[0].decode().rstrip("}")
            for part in self.document.read_bytes().split(b"\n")
            if b"weight: " in part
        ]

    def served(self) -> bytes:
        return (self.folder / "served.yaml").read_bytes()

    def answers(self) -> int:
        """The status that somebody gets."""
        return get(self.port, "/", Host="shop.example")[0]


@contextmanager
def stage(folder: Path, *, bad: bool = False) -> Iterator[Stage]:
    """`bad`: the new version answers nothing but 500."""
    with ExitStack() as stack:
        servers = stack.enter_context(DemoServers(None))
        v2 = stack.enter_context(_bad()) if bad else servers.http("v2-a", "v2")
        made = Stage(folder, servers.http("v1-a", "v1"), v2)
        proxy = stack.enter_context(running(str(folder / "served.yaml"), "--listen", f"web=127.0.0.1:{made.port}"))
        proxy.line("'web' listens")
        yield made


@contextmanager
def _bad() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Bad)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(DEADLINE)
    server.server_close()


def edited(before: bytes, v1: int, v2: int) -> bytes:
    """What a document is with other weights: found apart from what is tested."""
    return before.replace(b"{to: v1, weight: 90}", b"{to: v1, weight: %d}" % v1).replace(b"weight: 0x0A", b"weight: %d" % v2)


__all__: Sequence[str] = ("COMMAND", "ROOT", "Stage", "edited", "stage")
