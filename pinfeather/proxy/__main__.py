"""`python -m pinfeather.proxy FILE`: arguments and exit codes. `pinfeather proxy` calls `main`."""

import argparse
import ipaddress
import sys
from collections.abc import Sequence
from pathlib import Path

from pinfeather.proxy import serve

try:
    from pinfeather.proxy.loading import Unreadable
except ModuleNotFoundError as missing:
    if __name__ != "__main__":
        raise
    sys.stderr.write(f"the reference proxy needs {missing.name}; install pinfeather[proxy]\n")
    sys.exit(2)

_LAST_PORT = 65535
_MOST_WORKERS = 64
BAD_INPUT, IO_ERROR = 2, 4


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m pinfeather.proxy") -> int:
    """Serve as the arguments say. Returns 0 after a graceful end, 2 for bad input, 4 where a file or an address fails."""
    parser = argparse.ArgumentParser(prog=prog, description="Serve a canonical document over HTTP/1.1, until SIGTERM.", allow_abbrev=False)
    parser.add_argument("file", metavar="FILE", help="the canonical document; it is reloaded when it changes, and at SIGHUP")
    parser.add_argument(
        "--listen",
        action="append",
        default=[],
        metavar="NAME=HOST:PORT",
        help="an entry point and its address; may be given again (default: the document's own, on 127.0.0.1)",
    )
    parser.add_argument("--admin", metavar="HOST:PORT", help="where to answer /healthz, /state and /metrics; loopback only")
    parser.add_argument(
        "--key-file",
        metavar="FILE",
        help="keys of the cookies' values, one a line: the first signs, all are taken; made if missing (default: new at each start)",
    )
    parser.add_argument(
        "--certificate",
        action="append",
        default=[],
        metavar="CERT:KEY",
        help="a certificate with its chain and its key, in PEM; may be given again: chosen by server name, the first is the default",
    )
    parser.add_argument("--workers", default="1", metavar="N", help="processes that share the work (default: 1)")
    parser.add_argument("--access-log", metavar="FILE", help="a line of JSON for each request; - is stdout; SIGUSR1 opens it anew")
    parser.add_argument(
        "--takeover",
        metavar="SOCKET",
        help="a path: take the listening sockets of the proxy that answers there, and hand them to the next one",
    )
    parser.add_argument("--traefik-compat", action="store_true", help="cookie values as Traefik makes them, unsigned; for comparisons")
    given = parser.parse_args(arguments)
    try:
        listen = dict(_entry_point(text) for text in given.listen)
        admin = None if given.admin is None else _loopback(given.admin)
        serve(
            given.file,
            listen=listen or None,
            admin=admin,
            key_file=None if given.key_file is None else Path(given.key_file),
            traefik_compat=given.traefik_compat,
            workers=_workers(given.workers),
            access_log=given.access_log,
            takeover=None if given.takeover is None else Path(given.takeover),
            certificates=[_certificate(text) for text in given.certificate],
        )
    except Unreadable as error:
        return _fail(str(error), BAD_INPUT)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error), IO_ERROR)
    return 0


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > _LAST_PORT:
        raise Unreadable(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _workers(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_WORKERS:
        raise Unreadable(f"--workers {text!r} is not a number from 1 to {_MOST_WORKERS}")
    return int(text)


def _entry_point(text: str) -> tuple[str, tuple[str, int]]:
    name, equals, address = text.partition("=")
    if not equals or not name:
        raise Unreadable(f"--listen {text!r} is not NAME=HOST:PORT")
    return name, _address(address)


def _certificate(text: str) -> tuple[Path, Path]:
    chain, colon, key = text.rpartition(":")
    if not colon or not chain or not key:
        raise Unreadable(f"--certificate {text!r} is not CERT:KEY, two files")
    return Path(chain), Path(key)


def _loopback(text: str) -> tuple[str, int]:
    host, port = _address(text)
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise Unreadable(f"--admin {text!r} must be on loopback (127.0.0.1, ::1): it tells about servers")
    return host, port


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
