"""Accepting goes on, whatever the system says to it."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy.listening import Listener
from tests.proxy.streams import to, who

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage


class Fickle(socket.socket):
    """A listening socket whose first attempts to accept fail."""

    failures: list[int]

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            raise OSError(self.failures.pop(0), "as the test wants")
        return super().accept()


def test_accepting_goes_on_after_errors(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        sock = Fickle()
        sock.failures = [errno.ECONNABORTED, errno.EMFILE, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENETDOWN]
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        listener = Listener(sock, stage.proxy.edge, "db")
        stage.proxy.addresses["fickle"] = sock.getsockname()
        assert await who(stage) == "one"  # the other socket is served meanwhile
        assert await who(stage, "fickle") == "one"
        assert 'pinfeather_refused_total{reason="accept: EMFILE"} 2' in await stage.proxy.metrics()
        listener.close()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await who(stage, "fickle")

    play(scenario, talker("one"), document=to("one"), listen=["db"])


def test_several_may_accept_from_one_socket(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        stage.proxy.addresses["shared"] = sock.getsockname()
        listeners = [Listener(sock.dup(), stage.proxy.edge, "db") for _ in range(3)]
        sock.close()
        assert await asyncio.gather(*(who(stage, "shared") for _ in range(60))) == ["one"] * 60
        listeners[0].close()
        assert await who(stage, "shared") == "one"
        for listener in listeners[1:]:
            listener.close()

    play(scenario, talker("one"), document=to("one"), listen=["db"])


class Gone(socket.socket):
    """A listening socket whose clients have reset their connections before they are accepted."""

    def accept(self) -> tuple[socket.socket, object]:
        sock, address = super().accept()
        nameless = Nameless(fileno=sock.detach())
        return nameless, address


class Nameless(socket.socket):
    def getpeername(self) -> object:
        raise OSError(errno.ENOTCONN, "as of a connection that was reset")


@pytest.mark.parametrize("point", ["http", "db"])
def test_a_client_that_is_gone_before_it_is_accepted(
    point: str, play: Play, talker: Callable[[str], Backend], caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio then knows no name of the other end; who it was, accept said."""

    async def scenario(stage: Stage) -> None:
        sock = Gone()
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        listener = Listener(sock, stage.proxy.edge, point)
        stage.proxy.addresses["gone"] = sock.getsockname()
        if point == "db":
            assert await who(stage, "gone") == "one"
        else:
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: nowhere\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 404")
            writer.close()
        listener.close()

    play(scenario, talker("one"), document=to("one"), listen=["db"])
    assert not caplog.records
