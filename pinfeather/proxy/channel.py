"""Between the supervisor and a worker: messages as JSON, each after its length, over a socket pair."""

import asyncio
import json
import struct
from collections.abc import Mapping

_LENGTH = struct.Struct(">I")

Message = dict[str, object]


class Channel:
    """One end. Not for anybody else's bytes: both ends are this program."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, message: Mapping[str, object]) -> None:
        """Hand a message over; a peer that is gone is not told."""
        data = json.dumps(message).encode()
        if not self._writer.is_closing():
            self._writer.write(_LENGTH.pack(len(data)) + data)

    async def receive(self) -> Message | None:
        """The next message; None when the other end is gone."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            found = json.loads(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        assert isinstance(found, dict)
        return found

    def close(self) -> None:
        """End it."""
        self._writer.close()
