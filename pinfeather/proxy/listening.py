"""Serving one listening socket. The socket is bound by whoever starts the proxy, so that several processes can share it."""

import asyncio
import functools
import socket

from pinfeather.proxy.client import ClientConnection
from pinfeather.proxy.edge import Edge

BACKLOG = 1024  # connections that wait to be accepted


async def listen(sock: socket.socket, edge: Edge, entry_point: str) -> asyncio.Server:
    """Accept connections of an entry point until the server is closed, which closes `sock` too. Raises OSError."""
    make = functools.partial(ClientConnection, edge, entry_point)
    return await asyncio.get_running_loop().create_server(make, sock=sock, backlog=BACKLOG)


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on every address of a host (a name may have several), all on one port. Port 0 takes a free one.

    Raises OSError, with the address in its text.
    """
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            taken = sockets[0].getsockname()[1] if sockets else port
            sockets.append(socket.create_server((str(address[0]), taken, *address[2:]), family=family, backlog=BACKLOG))
            sockets[-1].setblocking(False)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return sockets
