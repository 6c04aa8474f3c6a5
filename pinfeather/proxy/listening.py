"""Serving one listening socket. The socket is bound by whoever starts the proxy, so that several processes can share it."""

import asyncio
import functools
import socket

from pinfeather.proxy.client import ClientConnection
from pinfeather.proxy.edge import Edge
from pinfeather.proxy.sockets import BACKLOG


async def listen(sock: socket.socket, edge: Edge, entry_point: str) -> asyncio.Server:
    """Accept connections of an entry point until the server is closed, which closes `sock` too. Raises OSError."""
    make = functools.partial(ClientConnection, edge, entry_point)
    return await asyncio.get_running_loop().create_server(make, sock=sock, backlog=BACKLOG)
