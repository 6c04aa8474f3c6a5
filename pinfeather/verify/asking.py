"""One request to one proxy, on a connection of its own; how fast and how many; and a WebSocket.

A connection for each request, so that nothing but its cookies can bring a client back to its server.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import io
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pinfeather.model.decide import Request

if TYPE_CHECKING:
    from typing_extensions import Buffer

PATIENCE = 10.0
"""Seconds for one answer, from the connection to its last byte."""
BODY = 1 << 20
"""Bytes of a body that are read, and searched for a name."""
_WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class Silent(Exception):  # noqa: N818 - says what a proxy is
    """Something does not answer at all; the text says what, why, and what to do."""


class Unfit(Exception):  # noqa: N818 - says what the question is
    """What was asked for cannot be done; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where one entry point of a proxy is reached."""

    host: str
    port: int
    tls: bool | None = None
    """Whether TLS is spoken; None: as each request says."""
    context: ssl.SSLContext | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, url: str, context: ssl.SSLContext | None = None) -> Address:
        """Raises ValueError for what is no http or https URL of a host and a port."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.port == 0:
            raise ValueError(f"{url!r} is not of the form http://host:port or https://host:port")
        try:
            parts.hostname.encode("idna")
        except UnicodeError:
            raise ValueError(f"{parts.hostname!r} is no name of a host") from None
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        return cls(parts.hostname, port, tls, (context or insecure()) if tls else None)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Status 0 is no answer, and `problem` says why."""

    status: int
    problem: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def values(self, name: str) -> tuple[str, ...]:
        """The values of a header field, in order."""
        return tuple(value for key, value in self.fields if key.lower() == name.lower())

    @property
    def text(self) -> str:
        return str(self.status) if self.status else self.problem


class Pace:
    """Lets requests go at most at a rate, and at most so many. The clock and the pause are given, so that tests have their own."""

    def __init__(
        self,
        rate: Fraction | None,
        budget: int | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`rate`: requests a second; None: as fast as answers come. `budget`: requests in all; None: no end."""
        self.rate = rate
        self.budget = budget
        self.sent = 0
        self._clock = clock
        self._sleep = sleep
        self._next: float | None = None
        self._stopped = False

    def take(self) -> None:
        """Wait until the next request may go. Raises Unfit when all have gone, or after `stop`."""
        if self._stopped:
            raise Unfit("it was ended")
        if self.budget is not None and self.sent >= self.budget:
            raise Unfit(f"the budget of {self.budget} requests is spent; give more with --budget")
        self.sent += 1
        if self.rate is None:
            return
        now = self._clock()
        if self._next is not None and self._next > now:
            self._sleep(self._next - now)
            now = self._next
        self._next = now + float(1 / self.rate)

    def stop(self) -> None:
        """Lets nothing go any more."""
        self._stopped = True

    def pause(self, seconds: float) -> None:
        """A pause of somebody who waits for something."""
        self._sleep(seconds)

    def now(self) -> float:
        return self._clock()


@contextlib.contextmanager
def side_by_side(paces: Sequence[Pace]) -> Iterator[ThreadPoolExecutor]:
    """A thread for each proxy. Who is ended (Ctrl-C) waits for the requests under way and for no other."""
    with ThreadPoolExecutor(max(1, len(paces))) as pool:
        try:
            yield pool
        except BaseException:
            for pace in paces:
                pace.stop()
            raise


def insecure() -> ssl.SSLContext:
    """TLS with whoever answers."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def trusting(file: str) -> ssl.SSLContext:
    """TLS with who has a certificate of this authority. Raises OSError."""
    return ssl.create_default_context(cafile=file)


def ask(address: Address, request: Request, cookies: Mapping[str, str], credentials: str | None = None) -> Answer:
    """Send a request as a client that has these cookies beside those of the request itself."""
    deadline = time.monotonic() + PATIENCE
    try:
        with contextlib.closing(_connection(address, request)) as connection:
            _send(connection, request, cookies, credentials, (("Connection", "close"),))
            with http.client.HTTPResponse(_Timed(connection.sock, deadline), method=request.method) as response:  # type: ignore[arg-type] # it asks for `makefile` alone
                response.begin()
                body = response.read(BODY).decode("utf-8", "replace")
                return Answer(response.status, "", tuple(response.getheaders()), body)
    except ssl.SSLError as error:
        return Answer(0, f"no TLS ({(error.reason or str(error)).lower().replace('_', ' ')})")
    except OSError as error:
        return Answer(0, (error.strerror or str(error) or type(error).__name__).lower())
    except http.client.HTTPException as error:
        return Answer(0, f"no HTTP answer ({type(error).__name__})")
    except UnicodeError:
        return Answer(0, "a name or a value that no request can hold")


def upgrade(address: Address, request: Request, cookies: Mapping[str, str], credentials: str | None, *, echo: bool) -> str:
    """Ask for a WebSocket, and send one message. Says what came: `101`, `101, echo`, a status, or what went wrong."""
    key = base64.b64encode(os.urandom(16))
    deadline = time.monotonic() + PATIENCE
    wanted = base64.b64encode(hashlib.sha1(key + _WEBSOCKET_KEY, usedforsecurity=False).digest()).decode()
    fields = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", key.decode()))
    try:
        with contextlib.closing(_connection(address, request)) as connection:
            _send(connection, request, cookies, credentials, fields)
            stream: socket.socket = connection.sock
            answer = _Timed(stream, deadline).makefile("rb")
            head = _until(answer, b"\r\n\r\n")
            first, _, rest = head.partition(b"\r\n")
            status = first.split(b" ")[1].decode("latin-1", "replace") if first.startswith(b"HTTP/1.1 ") else "no HTTP answer"
            if status != "101":
                return status
            if f"\r\nsec-websocket-accept: {wanted}\r\n".lower() not in f"\r\n{rest.decode('latin-1')}".lower():
                return "101, for another key"
            if not echo:
                return "101"
            mask, message = os.urandom(4), b"pinfeather"
            stream.sendall(bytes((0x81, 0x80 | len(message))) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(message)))
            frame = bytes((0x81, len(message))) + message
            return "101, echo" if answer.read(len(frame)) == frame else "101, no echo"
    except OSError as error:
        return (error.strerror or str(error) or type(error).__name__).lower()
    except UnicodeError:
        return "a name or a value that no request can hold"


def connect(address: Address, tls: bool, sni: str, client: str = "127.0.0.1") -> socket.socket:
    """A connection, with TLS where it is wanted. Raises OSError."""
    source = (client, 0) if client != "127.0.0.1" and address.loopback else None
    stream = socket.create_connection((address.host, address.port), PATIENCE, source)
    if not (tls if address.tls is None else address.tls):
        return stream
    try:
        return (address.context or insecure()).wrap_socket(stream, server_hostname=sni or None)
    except (OSError, ValueError) as error:
        stream.close()
        if isinstance(error, OSError):  # a certificate that is refused is a ValueError, too
            raise
        raise OSError(f"{sni!r} is no server name") from None


def _connection(address: Address, request: Request) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(address.host, address.port, PATIENCE)
    name = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
    connection.sock = connect(address, request.tls, request.sni or name, request.client)
    return connection


def _send(
    connection: http.client.HTTPConnection,
    request: Request,
    cookies: Mapping[str, str],
    credentials: str | None,
    fields: tuple[tuple[str, str], ...],
) -> None:
    said = [value for name, value in request.headers if name == "cookie"] + [f"{name}={value}" for name, value in cookies.items()]
    headers = [("Host", request.host.encode()), *((name, value.encode("latin-1")) for name, value in request.headers if name != "cookie")]
    headers += [("Cookie", "; ".join(said).encode("latin-1"))] if said else []
    headers += [("Authorization", credentials.encode())] if credentials is not None else []
    headers += [("Content-Length", b"0")] if request.method not in ("GET", "HEAD") else []
    target = request.path + (f"?{request.query}" if request.query else "")
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in (*headers, *((name, text.encode()) for name, text in fields)):
        connection.putheader(name, value)
    connection.endheaders()


def _until(stream: io.BufferedReader, end: bytes) -> bytes:
    """Bytes up to an end, which is the end of a line. Raises OSError."""
    data = b""
    while not data.endswith(end):
        line = stream.readline(65536)
        if len(data) > 65536 or not line:
            raise OSError("the answer breaks off")
        data += line
    return data


class _Timed:
    """What comes on a connection, until a deadline: a server that sends a byte now and then holds nobody up for ever."""

    def __init__(self, stream: socket.socket, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Bytes(self._stream, self._deadline))


class _Bytes(io.RawIOBase):
    def __init__(self, stream: socket.socket, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._stream.settimeout(left)
        return self._stream.recv_into(buffer)
