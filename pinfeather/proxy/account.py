"""What is noted of one request on its way, for the access log and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pinfeather.proxy.wire import RequestHead

if TYPE_CHECKING:
    from pinfeather.model.decide import Decision
    from pinfeather.proxy.backend import Origin
    from pinfeather.proxy.edge import Connection, Live


@dataclass(slots=True)
class Account:
    """An exchange fills it in as it goes, and hands it to `Edge.ended` once, at its end."""

    client: Connection
    request: RequestHead
    began: float
    """By the loop's clock, in seconds."""
    live: Live | None = None
    """The document that decided, and its servers' state at that moment."""
    bindings: Mapping[str, str] | None = None
    decision: Decision | None = None
    origin: Origin | None = None
    """The server that was asked last."""
    retries: int = 0
    origin_status: int = 0
    """0: no answer of a server."""
    status: int = 0
    """What the client was told; 0: it went, or was cut off, before an answer began."""
    received: int = 0
    """Bytes of the request's body that went to a server."""
    sent: int = 0
    """Bytes of the answer's body, without the frames of chunks; of a tunnel, all bytes to the client."""
    whole: bool = True
    """False: the answer was broken off."""


@dataclass(slots=True)
class StreamAccount:
    """What is noted of one TCP connection."""

    client: Connection
    began: float
    """By the loop's clock, in seconds."""
    decision: Decision | None = None
    origin: Origin | None = None
    """The server that was asked last."""
    retries: int = 0
    received: int = 0
    """Bytes from the client."""
    sent: int = 0
    """Bytes to the client."""
    reason: str = ""
    """What ended it; nothing: both sides did."""
