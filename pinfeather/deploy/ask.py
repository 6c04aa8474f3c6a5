"""One question to one server over HTTP, on a connection of its own, and who answered it."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_PATIENCE = 10.0  # seconds for one answer
POLL = 0.02
"""Seconds between two questions while waiting for something."""


class Silent(Exception):  # noqa: N818 - says what a server is
    """A proxy or a demo server does not answer; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens, by the name that the table gives it."""

    name: str
    host: str
    port: int

    @classmethod
    def of(cls, name: str, url: str) -> Address:
        """Raises ValueError for what is no http URL of a host and a port."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.port is None or parts.path not in ("", "/"):
            raise ValueError(f"{url!r} is not of the form http://host:port")
        return cls(name, parts.hostname, parts.port)

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Status 0 is no answer, and `problem` says why."""

    status: int
    problem: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    hostname: str = ""

    def values(self, name: str) -> tuple[str, ...]:
        """The values of a header field, in order."""
        return tuple(value for key, value in self.fields if key.lower() == name.lower())

    @property
    def text(self) -> str:
        return str(self.status) if self.status else self.problem


def wait_for(address: Address, deadline: float) -> Answer:
    """Wait until a demo server answers; `deadline` in seconds. Raises `Silent`."""
    started = time.monotonic()
    while (answer := ask(address, "GET", "/", {})).status == 0:
        if time.monotonic() - started > deadline:
            raise Silent(f"the demo server at {address.url} does not answer: {answer.problem}; `make up` starts it")
        time.sleep(POLL)
    return answer


def ask(address: Address, method: str, target: str, headers: Mapping[str, str]) -> Answer:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=_PATIENCE)
    try:
        connection.request(method, target, headers=dict(headers))
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
    except OSError as error:
        return Answer(0, (error.strerror or str(error) or type(error).__name__).lower())
    except http.client.HTTPException as error:
        return Answer(0, f"no HTTP answer ({type(error).__name__})")
    finally:
        connection.close()
    hostname = next((line.removeprefix("Hostname: ") for line in body.splitlines() if line.startswith("Hostname: ")), "")
    return Answer(response.status, "", tuple(response.getheaders()), hostname)
