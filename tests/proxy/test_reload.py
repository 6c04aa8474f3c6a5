"""Reloads and hand-overs under load, as processes of their own: not one request is lost."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy.handover import take
from pinfeather.proxy.loading import Unreadable
from tests.parts.processes import free_ports
from tests.parts.proxies import DEADLINE, answering, get, running, said, until, write

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage

RELOADS, HANDOVERS = 20, 3


@pytest.fixture
def backend() -> Iterator[str]:
    with answering() as url:
        yield url


class Load:
    """Clients that ask without a pause: on kept connections, and on a new one each time. What fails is kept."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered = 0
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(kept,)) for kept in (True, True, False, False)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE)

    def _ask(self, kept: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        while not self._stop.is_set():
            try:
                connection.request("GET", "/", headers={} if kept else {"Connection": "close"})
                answer = connection.getresponse()
                if (answer.status, answer.read()) != (200, b"ok"):
                    self.failed.append(f"kept {kept}: {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"kept {kept}: {error!r}")
                connection.close()
            self.answered += 1
        connection.close()

    def more(self) -> None:
        """Wait for some more answers."""
        goal = self.answered + 50
        until(lambda: self.answered >= goal)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_is_lost(tmp_path: Path, backend: str, workers: str) -> None:
    document, handover = tmp_path / "document.yaml", tmp_path / "handover"
    write(document, backend)
    web, admin = free_ports(2)
    arguments = [str(document), "--listen", f"web=127.0.0.1:{web}", "--admin", f"127.0.0.1:{admin}", "--workers", workers]
    arguments += ["--takeover", str(handover), "--key-file", str(tmp_path / "key")]
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(running(*arguments))
        proxy.line("admin listens")
        assert stat.S_IMODE(handover.stat().st_mode) == 0o600
        with Load(web) as load:
            for number in range(RELOADS):
                write(document, backend, f"r{number}")
                proxy.line("reloaded")
                load.more()
                if number % (RELOADS // HANDOVERS) == 1 and number < RELOADS - 2:
                    following = stack.enter_context(running(*arguments))
                    following.line("took over")
                    proxy.line("handed over")
                    load.more()
                    assert proxy.process.wait(DEADLINE) == 0
                    proxy = following
                    load.more()
            assert said(admin, "/state")["pid"] == proxy.process.pid
        assert load.failed == []
        assert load.answered > 50 * (RELOADS + HANDOVERS)
        assert (proxy.process.send_signal(signal.SIGTERM), proxy.process.wait(DEADLINE)) == (None, 0)
        assert not handover.exists()


def test_a_new_process_that_fails_disturbs_nobody(tmp_path: Path, backend: str) -> None:
    document, handover = tmp_path / "document.yaml", tmp_path / "handover"
    write(document, backend)
    (web,) = free_ports(1)
    more = ("--listen", f"web=127.0.0.1:{web}", "--takeover", str(handover))
    with running(str(document), *more) as proxy:
        proxy.line("'web' listens")
        (tmp_path / "bad.yaml").write_text("pinfeather: v1\nroutes: [{nam: r}]\n")
        with running(str(tmp_path / "bad.yaml"), *more) as bad:
            assert bad.process.wait(DEADLINE) == 2
        # One that takes the sockets and dies before it says that it is ready.
        taken = take(handover)
        assert taken is not None
        assert taken.pid == proxy.process.pid
        taken._connection.close()
        for sock in itertools.chain.from_iterable(taken.sockets.values()):
            sock.close()
        assert get(web) == (200, b"ok")
        with running(str(document), *more) as following:
            following.line("took over")
            assert proxy.process.wait(DEADLINE) == 0
            assert get(web) == (200, b"ok")
    # What a killed one left there is in nobody's way.
    with running(str(document), *more) as killed:
        killed.line("'web' listens")
        killed.process.kill()
        killed.process.wait(DEADLINE)
        assert handover.exists()
        with running(str(document), *more) as again:
            again.line("'web' listens")
            assert get(web) == (200, b"ok")


@pytest.mark.parametrize("said_there", [b"", b"{}\n", b"[1]\n", b'{"pid": 1, "sockets": [["web", 3]]}\n', b"HTTP/1.1 400 Bad Request\n"])
def test_what_is_no_proxy_hands_nothing_over(tmp_path: Path, said_there: bytes) -> None:
    assert take(tmp_path / "nobody") is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(said_there)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unreadable, match="hands nothing over"):
            take(tmp_path / "s")
        thread.join(DEADLINE)


def test_keys_are_changed_without_a_restart(tmp_path: Path, backend: str) -> None:
    document, keys = tmp_path / "document.yaml", tmp_path / "keys"
    write(document, backend, sticky="{cookie: {name: c}}")
    keys.write_text("a" * 32 + "\n")
    keys.chmod(0o644)
    with running(str(document), "--listen", "web=127.0.0.1:0", "--key-file", str(keys)) as proxy:
        assert "others than its owner may use it (mode 0644)" in proxy.line("keys")
        port = proxy.port("'web' listens")

        def given(cookie: str = "") -> str:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
            connection.request("GET", "/", headers={"Cookie": cookie, "Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return (answer.getheader("Set-Cookie") or "").split(";")[0]

        old = given()
        assert given(old) == ""
        keys.chmod(0o600)
        keys.write_text("b" * 32 + "\n" + "a" * 32 + "\n")
        proxy.line("the keys were changed: 2 are taken")
        new = given(old)
        assert new not in ("", old)
        assert given(new) == ""
        keys.write_text("short\n")
        assert "keys:1: a key has at least 16 bytes" in proxy.line("not reloaded")
        assert given(new) == ""
        keys.unlink()  # a new one would forget all clients: it is made at a start only
        keys.write_text("b" * 32 + "\n")
        proxy.line("the keys were changed: 1 are taken")
        assert given(old) == new
        assert given(new) == ""


def test_entry_points_of_a_reload(play: Play, server: type[Backend]) -> None:
    """Without addresses on the command line the document says where to listen, also at a reload."""
    one, two, busy = free_ports(3)

    def document(backends: dict[str, Backend], **entry_points: int) -> dict[str, object]:
        return {
            "entry_points": entry_points,
            "routes": [{"name": "r", "to": "s"}],
            "services": {"s": {"servers": [{"url": backend.url} for backend in backends.values()]}},
        }

    async def scenario(stage: Stage) -> None:
        stage.proxy._listen = None
        stage.write(document(stage.backends, web=one))
        await stage.until(lambda: stage.proxy.addresses == {"web": ("127.0.0.1", one)})
        assert (await stage.get()).body == b"s1"
        stage.write(document(stage.backends, web=one, more=two))
        await stage.until(lambda: "more" in stage.proxy.addresses)
        request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert (await stage.send(request, ("127.0.0.1", two))).body == b"s1"
        with socket.create_server(("127.0.0.1", busy)):
            stage.write(document(stage.backends, web=one, more=busy))
            await stage.until(lambda: any("Address already in use" in line for line in stage.said))
            assert (await stage.send(request, ("127.0.0.1", two))).body == b"s1"  # the old address is better than none
        stage.write(document(stage.backends, web=two))
        await stage.until(lambda: "more" not in stage.proxy.addresses)
        assert any("the document has it no more" in line for line in stage.said)

    play(scenario, server("s1"), document=lambda backends: document(backends, web=busy))
