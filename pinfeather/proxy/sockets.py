"""Listening sockets: bound here and nowhere else, and shared with workers and with a process that takes over."""

import contextlib
import resource
import socket

Address = tuple[str, int]
Listening = dict[str, list[socket.socket]]
"""Entry point, or ADMIN, -> its sockets."""

ADMIN = ""
"""The name of the second port among the sockets; no entry point is called that."""

BACKLOG = 1024  # connections that wait to be accepted


_ENOUGH = 65_536  # descriptors


def more_descriptors() -> None:
    """As many open files as this user may have: each connection takes one, and the usual limit is that of a shell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def bind(name: str, host: str, port: int, taken: Listening) -> list[socket.socket]:
    """Listening sockets on every address of a host (a name may have several), all on one port. Port 0 takes a free one.

    What was taken over for that address is used, and removed from `taken`; for port 0, what has the same name.
    Raises OSError, with the address in its text.
    """
    if port == 0 and taken.get(name):
        return taken.pop(name)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            same = _same(family, (str(found[0]), int(found[1])), taken)
            if same is None:
                place = (str(found[0]), sockets[0].getsockname()[1] if sockets else port, *found[2:])
                same = socket.create_server(place, family=family, backlog=BACKLOG)
            same.setblocking(False)
            sockets.append(same)
    except OSError as error:
        close({name: sockets})
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return sockets


def _same(family: int, address: Address, taken: Listening) -> socket.socket | None:
    for sockets in taken.values():
        for sock in sockets:
            if sock.family == family and address_of(sock) == address:
                sockets.remove(sock)
                return sock
    return None


def address_of(sock: socket.socket) -> Address:
    """Host and port."""
    host, port = sock.getsockname()[:2]
    return str(host), int(port)


def close(listening: Listening) -> None:
    """Close all."""
    for sockets in listening.values():
        for sock in sockets:
            sock.close()
