"""Several workers behind one socket, as processes of their own: shares, deaths, reloads, the end."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.processes import free_ports
from tests.parts.proxies import DEADLINE, Answering, Running, answering, counted, get, running, said, until, write


@pytest.fixture
def backend() -> Iterator[str]:
    with answering() as url:
        yield url


def workers(admin: int) -> dict[str, dict[str, object] | None]:
    found = said(admin, "/state")["workers"]
    assert isinstance(found, dict)
    return found


def pids(admin: int) -> list[int]:
    return [int(str(state["pid"])) for state in workers(admin).values() if state is not None]


def start(tmp_path: Path, backend: str, *more: str) -> contextlib.AbstractContextManager[Running]:
    write(tmp_path / "document.yaml", backend)
    return running(str(tmp_path / "document.yaml"), "--listen", "web=127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "2", *more)


def until_shared(port: int, admin: int) -> list[http.client.HTTPConnection]:
    """Connections with an answered request each, so many that both workers have some: on a busy machine one may be slow to wake up."""
    found: list[http.client.HTTPConnection] = []

    def shared() -> bool:
        more = [http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE) for _ in range(20)]
        for connection in more:
            connection.request("GET", "/")
        found.extend(more)
        return all(state is not None and state["connections"] for state in workers(admin).values())

    until(shared)
    return found


def test_the_work_is_shared_and_told_together(tmp_path: Path, backend: str) -> None:
    with start(tmp_path, backend) as proxy:
        port, admin = proxy.port("'web' listens"), proxy.port("admin listens")
        assert said(admin, "/healthz") == {"status": "ok", "workers": 2, "answering": 2}
        connections = until_shared(port, admin)
        assert all(connection.getresponse().read() == b"ok" for connection in connections)
        shares = [int(str(state["connections"])) for state in workers(admin).values() if state is not None]
        assert sum(shares) == len(connections)
        assert counted(admin, "pinfeather_requests_total") == len(connections)
        assert counted(admin, "pinfeather_worker_up") == 2
        for connection in connections:
            connection.close()
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(DEADLINE) == 0


def test_a_killed_worker_loses_only_its_own(tmp_path: Path, backend: str) -> None:
    """Load goes on while one worker is killed: what fails was on its connections, and new ones are taken at all times."""
    with start(tmp_path, backend) as proxy:
        port, admin = proxy.port("'web' listens"), proxy.port("admin listens")
        doomed, other = pids(admin)
        waiting = [http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE) for _ in range(20)]
        for connection in waiting:
            connection.request("GET", "/slow")
            assert Answering.begun.acquire(timeout=DEADLINE)
        own = {str(state["pid"]): int(str(state["connections"])) for state in workers(admin).values() if state is not None}
        before = counted(admin, "pinfeather_requests_total")
        os.kill(doomed, signal.SIGKILL)
        proxy.line("has died, killed by SIGKILL")
        for _ in range(50):
            assert get(port) == (200, b"ok")  # the socket is never without somebody who accepts
        Answering.free.set()
        lost = 0
        for connection in waiting:
            try:
                assert connection.getresponse().read() == b"ok"
            except (http.client.HTTPException, ConnectionError):
                lost += 1
            connection.close()
        assert lost == own[str(doomed)]
        assert lost < 20 or own[str(other)] == 0
        until(lambda: len(pids(admin)) == 2)
        assert doomed not in pids(admin)
        assert said(admin, "/state")["restarts"] == 1
        assert counted(admin, "pinfeather_requests_total") >= before + 50


def test_a_dead_worker_is_said_while_it_is_dead(tmp_path: Path, backend: str) -> None:
    with start(tmp_path, backend) as proxy:
        admin = proxy.port("admin listens")
        stopped = pids(admin)[0]
        os.kill(stopped, signal.SIGSTOP)
        assert said(admin, "/healthz") == {"status": "degraded", "workers": 2, "answering": 1}
        assert counted(admin, "pinfeather_worker_up") == 1
        os.kill(stopped, signal.SIGCONT)
        until(lambda: len(pids(admin)) == 2)


def test_a_reload_reaches_all_and_a_bad_one_none(tmp_path: Path, backend: str) -> None:
    document = tmp_path / "document.yaml"
    with start(tmp_path, backend) as proxy:
        admin = proxy.port("admin listens")
        first = {str(state["revision"]) for state in workers(admin).values() if state is not None}
        assert len(first) == 1
        bad = tmp_path / "bad"
        bad.write_text("pinfeather: v1\nroutes: [{nam: r}]\n")
        bad.replace(document)
        proxy.line("not reloaded, the document from before is kept")
        assert "nam" in str(said(admin, "/state")["reload_error"])
        assert {str(state["revision"]) for state in workers(admin).values() if state is not None} == first
        # A worker that is started now begins with what the others have.
        os.kill(pids(admin)[0], signal.SIGKILL)
        proxy.line("has died")
        until(lambda: len(pids(admin)) == 2)
        assert {str(state["revision"]) for state in workers(admin).values() if state is not None} == first
        write(document, backend, "renamed")
        until(lambda: all(state is not None and state["revision"] not in first for state in workers(admin).values()))
        assert said(admin, "/state")["reload_error"] is None
        assert sum("reloaded: 1 routes" in line for line in proxy.all) == 1  # both did, it is said once
        os.kill(pids(admin)[0], signal.SIGKILL)
        proxy.line("has died")
        until(lambda: len(pids(admin)) == 2)
        assert all(state is not None and state["revision"] not in first for state in workers(admin).values())


def test_entry_points_of_a_reload_need_a_hand_over(tmp_path: Path, backend: str) -> None:
    document = tmp_path / "document.yaml"
    web, more = free_ports(2)
    write(document, backend)
    document.write_text(document.read_text().replace("8000", str(web)))
    with running(str(document), "--workers", "2") as proxy:
        proxy.line("'web' listens")
        aside = tmp_path / "aside"
        aside.write_text(document.read_text().replace(f"web: {web}", f"web: {web}, more: {more}"))
        aside.replace(document)
        proxy.line("entry point 'more': workers listen where they did at the start; start the proxy again, or hand over")
        assert get(web) == (200, b"ok")


def test_cookies_of_one_worker_are_good_in_the_other(tmp_path: Path, backend: str) -> None:
    """Without a key file one key is made for all: clients of two workers are given one value for the one server."""
    with start(tmp_path, backend) as proxy:
        port, admin = proxy.port("'web' listens"), proxy.port("admin listens")
        first = {str(state["revision"]) for state in workers(admin).values() if state is not None}
        write(tmp_path / "document.yaml", backend, sticky="{cookie: {name: c}}")
        until(lambda: all(state is not None and state["revision"] not in first for state in workers(admin).values()))
        connections = until_shared(port, admin)
        values = set()
        for connection in connections:
            answer = connection.getresponse()
            values.add(answer.getheader("Set-Cookie"))
            answer.read()
        for connection in connections:
            connection.close()
        assert len(values) == 1
        assert str(values.pop()).startswith("c=")


def test_the_supervisor_s_death_ends_the_workers(tmp_path: Path, backend: str) -> None:
    with start(tmp_path, backend) as proxy:
        admin = proxy.port("admin listens")
        left = pids(admin)
        proxy.process.kill()
        proxy.process.wait(DEADLINE)

        def gone(pid: int) -> bool:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            stat = Path(f"/proc/{pid}/stat")  # an orphan may stand as a zombie where nobody reaps it
            return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"

        until(lambda: all(map(gone, left)))


@pytest.mark.parametrize(
    ("text", "more", "code", "message"),
    [
        ("pinfeather: v1\nroutes: [{nam: x}]\n", (), 2, "document.yaml:2:"),
        ("pinfeather: v1\n", ("--listen", "web=192.0.2.1:1"), 4, "cannot listen on 192.0.2.1:1"),
        ("pinfeather: v1\n", ("--workers", "0"), 2, "--workers '0'"),
        ("pinfeather: v1\n", ("--access-log", "no/such/folder"), 4, "No such file or directory"),
    ],
)
def test_what_cannot_begin(tmp_path: Path, text: str, more: tuple[str, ...], code: int, message: str) -> None:
    document = tmp_path / "document.yaml"
    document.write_text(text)
    arguments = [sys.executable, "-m", "pinfeather.proxy", str(document), "--listen", "x=127.0.0.1:0", "--workers", "2", *more]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert message in done.stderr


def test_an_address_in_use_is_said(tmp_path: Path, backend: str) -> None:
    with start(tmp_path, backend) as proxy:
        port = proxy.port("'web' listens")
        write(tmp_path / "other.yaml", backend)
        arguments = [sys.executable, "-m", "pinfeather.proxy", str(tmp_path / "other.yaml"), "--listen", f"web=127.0.0.1:{port}"]
        for more in ([], ["--workers", "2"]):
            done = subprocess.run([*arguments, *more], capture_output=True, text=True, timeout=DEADLINE, check=False)
            assert done.returncode == 4, done.stderr
            assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


def test_metrics_are_what_prometheus_reads(tmp_path: Path, backend: str) -> None:
    with start(tmp_path, backend) as proxy, urllib.request.urlopen(f"http://127.0.0.1:{proxy.port('admin listens')}/metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
