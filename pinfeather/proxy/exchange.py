"""One request and its answer: from the decision to the last byte.

Bytes go through as they come, in both directions; a side that does not take them stops the reading of the other. An answer
that breaks off ends the client's connection, so that half an answer is never taken for a whole one.
"""

import asyncio
import errno
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING

from pinfeather.proxy.account import Account
from pinfeather.proxy.answers import BAD_GATEWAY, BAD_REQUEST, BUSY, GATEWAY_TIMEOUT, OUR_FAULT, TOO_SLOW
from pinfeather.proxy.approach import Approach
from pinfeather.proxy.backend import OUR_SHORTAGE, BackendConnection
from pinfeather.proxy.body import BodyReader, body_reader, chunked
from pinfeather.proxy.fields import UNTIL_CLOSE, Refused
from pinfeather.proxy.flow import HIGH_WATER, end_writing, reset
from pinfeather.proxy.passage import Answer, Coder, answer_bytes, response_head
from pinfeather.proxy.wire import RequestHead, ResponseHead

if TYPE_CHECKING:
    from pinfeather.proxy.client import ClientConnection

_INTERIM_LIMIT = 16  # 1xx answers to one request
_FOREVER = float("inf")


class Exchange:
    """Lives from a request's head to the end of its answer, or of the tunnel that it opened."""

    __slots__ = (
        "_account", "_answer", "_answer_body", "_approach", "_backend", "_body", "_chunks", "_client",
        "_coder", "_edge", "_half", "_interim", "_latest", "_over", "_persistent", "_request", "_task", "_tunnel",
    )  # fmt: skip

    def __init__(self, client: "ClientConnection", request: RequestHead) -> None:
        self._client = client
        self._edge = client.edge
        self._request = request
        self._account = Account(client, request, client.now())
        self._approach = Approach(client, request, self._account)
        self._body: BodyReader = body_reader(request.framing)
        self._persistent = request.persistent
        self._backend: BackendConnection | None = None
        self._task: asyncio.Task[None] | None = None  # what is waited for: a middleware, a connection, a pause
        self._answer: ResponseHead | None = None
        self._answer_body: BodyReader
        self._coder: Coder | None = None
        self._chunks = False  # whether the answer goes out in chunks
        self._interim = 0
        self._tunnel = False
        self._half = False  # whether one side of the tunnel has ended
        self._over = False
        self._latest = _FOREVER  # when the body must have come, but for what makes it longer

    # --- the way to a server -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Decide, go through the middlewares, and set out for the server."""
        if (answer := self._approach.begin()) is not None:
            self._reply(answer)
        else:
            self._walk()

    def _walk(self) -> None:
        outcome = self._approach.walk()
        if isinstance(outcome, Answer):
            self._reply(outcome)
        elif outcome is not None:
            self._client.deadline = self._client.now() + self._edge.settings.first_byte
            self._wait(self._walk_on(outcome))
        elif (answer := self._approach.arrive()) is not None:
            self._reply(answer)
        else:
            self._set_out(self._edge.pool.take(self._approach.origin) if self._approach.repeatable else None)

    async def _walk_on(self, outcome: Awaitable[Answer | None]) -> None:
        answer = await outcome
        self._task = None
        if answer is not None:
            self._reply(answer)
        elif not self._over:
            self._walk()

    def _wait(self, coroutine: Coroutine[None, None, None]) -> None:
        task = self._task = asyncio.get_running_loop().create_task(coroutine)
        task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[None]) -> None:
        """A bug of ours in what was waited for must not let a client wait, nor let it pass."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(OUR_FAULT)
            asyncio.get_running_loop().call_exception_handler({"message": "an exchange failed", "exception": error, "task": task})

    def _set_out(self, kept: BackendConnection | None, pause: float = 0.0) -> None:
        if kept is not None:
            return self._begin(kept)
        self._client.deadline = _FOREVER  # connecting has its own
        return self._wait(self._connect(pause))

    async def _connect(self, pause: float) -> None:
        if pause:
            await asyncio.sleep(pause)
        try:
            connection = await self._edge.pool.connect(self._approach.origin)
        except OSError as error:  # TimeoutError is one
            self._task = None
            if error.errno in OUR_SHORTAGE:
                self._edge.metrics.refused(f"connect: {errno.errorcode[error.errno]}")
                self._reply(BUSY, with_cookies=True)
                return
            self._edge.failures.failed(self._account)
            if not self._again(delivered=False):
                self._reply(GATEWAY_TIMEOUT if isinstance(error, TimeoutError) else BAD_GATEWAY, with_cookies=True)
        else:
            self._task = None
            self._begin(connection)

    def _again(self, *, delivered: bool) -> bool:
        """After a failure: set out once more, if it may be."""
        pause = None if self._over else self._approach.again(delivered=delivered)
        if pause is not None:
            self._set_out(None, pause)
        return pause is not None

    def _begin(self, connection: BackendConnection) -> None:
        self._backend = connection
        connection.exchange = self
        if connection.transport.is_closing():
            connection.exchange = None
            self.backend_lost()
            return
        connection.transport.write(self._approach.head)
        self._touch(waited=True)
        if not self._body.done:  # else what was sent ahead is the next request's
            self._client.gate.release("early")
            self.client_sent()

    # --- from the client -----------------------------------------------------------------------------------------

    def client_sent(self) -> None:
        """The client's buffer has bytes."""
        client, backend = self._client, self._backend
        if self._tunnel and backend is not None:
            backend.transport.write(bytes(client.buffer))
            client.buffer.clear()
            self._touch()
            return
        if not self._body.done and backend is not None:
            self._send_body(backend)
        if len(client.buffer) > HIGH_WATER:
            client.gate.hold("early")

    def _send_body(self, backend: BackendConnection) -> None:
        try:
            payload = self._body.take(self._client.buffer)
        except Refused:
            return self._fail(BAD_REQUEST)
        self._account.received += len(payload)
        if self._request.framing.chunked:
            payload = chunked(payload, last=self._body.done)
        if payload:
            backend.transport.write(payload)
        return self._touch()

    def client_ended(self) -> bool:
        """The client sends no more. True: its connection stays open for the answer."""
        if self._tunnel and self._backend is not None:
            return self._pass_end(self._backend.transport)
        self._persistent = False
        return self._body.done

    def client_lost(self) -> None:
        """The client's connection has ended."""
        self._over = True
        self._account.whole = False
        self._edge.ended(self._account)
        if self._task is not None:
            self._task.cancel()
        if self._backend is not None:
            if self._tunnel:
                self._backend.exchange = None
                self._backend.transport.close()
            else:
                self._backend.drop()
            self._backend = None

    def client_full(self) -> None:
        """The client does not take what is written."""
        if self._backend is not None:
            self._backend.gate.hold("client")
            if not self._tunnel:
                self._client.deadline = self._client.now() + self._edge.settings.body

    def client_drained(self) -> None:
        """The client takes bytes again."""
        if self._backend is not None:
            self._backend.gate.release("client")
            self._touch()

    def expired(self) -> None:
        """The deadline of the current phase has passed."""
        if self._tunnel or self._answer is not None:
            self._break_off()
        else:
            self._fail(GATEWAY_TIMEOUT if self._body.done else TOO_SLOW)

    # --- from the server -----------------------------------------------------------------------------------------

    def backend_sent(self) -> None:
        """The server's buffer has bytes."""
        backend = self._backend
        if backend is None or self._over:
            return
        if self._tunnel:
            self._tunnelled(backend)
            return
        try:
            written = b"" if self._answer is not None else self._take_heads(backend)
            if self._answer is None:
                return
            payload = self._answer_body.take(backend.buffer)
        except Refused:
            self._fail(BAD_GATEWAY)
            return
        if self._coder is not None:
            payload = self._coder.feed(payload) + (self._coder.finish() if self._answer_body.done else self._coder.flush())
        self._account.sent += len(payload)
        if self._chunks:
            payload = chunked(payload, last=self._answer_body.done)
        if written or payload:
            self._client.transport.write(written + payload)
        if self._answer_body.done:
            self._complete()
        elif not self._client.full:
            self._touch()

    def _take_heads(self, backend: BackendConnection) -> bytes:
        """The head of the answer as it goes to the client; interim answers are passed on before."""
        while (response := backend.head(self._request.method)) is not None:
            if response.status == 101:
                self._switch(response, backend)
                return b""
            if response.status >= 200:
                return self._open(response, backend)
            self._interim += 1
            if self._interim > _INTERIM_LIMIT:
                raise Refused("too many interim answers")
            if self._request.minor == 1:
                self._client.transport.write(response_head(response, (), (), chunked=False, close=False))
        return b""

    def _open(self, response: ResponseHead, backend: BackendConnection) -> bytes:
        self._answer = response
        self._account.status = self._account.origin_status = response.status
        self._edge.failures.answered(self._account)
        self._answer_body = body_reader(response.framing)
        passage, edits = self._approach.passage, self._approach.passage.edits
        if passage.codings and not response.framing.empty and response.status != 206:
            self._coder = next((coder for coding in passage.codings if (coder := coding(response)) is not None), None)
        if self._coder is not None:
            response = response._replace(framing=UNTIL_CLOSE)
            edits = [*edits, self._coder.edits]
        length = response.framing.length
        self._chunks = length is None and self._request.minor == 1
        self._persistent &= (length is not None or self._chunks) and self._body.done and not self._edge.draining
        if not edits:
            return backend.written(response, self._approach.cookies, chunked=self._chunks, close=not self._persistent)
        return response_head(response, edits, self._approach.cookies, chunked=self._chunks, close=not self._persistent)

    def _switch(self, response: ResponseHead, backend: BackendConnection) -> None:
        if not self._request.websocket or response.upgrade != "websocket":
            raise Refused("switches without having been asked to")
        self._tunnel = True
        self._persistent = False
        self._account.status = self._account.origin_status = response.status
        head = response_head(response, self._approach.passage.edits, self._approach.cookies, chunked=False, close=False)
        self._client.transport.write(head)
        self._tunnelled(backend)
        self._client.gate.release("early")
        self.client_sent()

    def _tunnelled(self, backend: BackendConnection) -> None:
        self._account.sent += len(backend.buffer)
        self._client.transport.write(bytes(backend.buffer))
        backend.buffer.clear()
        self._touch()

    def backend_ended(self) -> bool:
        """The server sends no more. True: its connection stays open for what the client still sends."""
        if self._tunnel:
            return self._pass_end(self._client.transport)
        if self._answer is not None and self._answer.framing == UNTIL_CLOSE and not self._over:
            rest = self._coder.finish() if self._coder is not None else b""
            self._account.sent += len(rest)
            if self._chunks:
                rest = chunked(rest, last=True)
            if rest:
                self._client.transport.write(rest)
            self._complete()
        return False

    def _pass_end(self, other: asyncio.Transport) -> bool:
        """One side of the tunnel sends no more. True: the other still may."""
        half, self._half = self._half, True
        return not half and end_writing(other)

    def backend_lost(self) -> None:
        """The server's connection has ended before its answer."""
        backend, self._backend = self._backend, None
        if self._over or backend is None:
            return
        if self._tunnel:
            self._over = True
            self._edge.ended(self._account)
            self._client.exchange = None
            self._client.transport.close()
        elif self._answer is not None:
            self._break_off()
        elif backend.reused and not backend.answered:
            self._account.retries += 1
            self._set_out(None)  # the server gave the kept connection up just when it was used again: only what is repeatable gets here
        else:
            self._edge.failures.failed(self._account)
            if backend.answered or not self._again(delivered=True):
                self._reply(BAD_GATEWAY, with_cookies=True)

    def backend_full(self) -> None:
        """The server does not take what is written."""
        self._client.gate.hold("server")

    def backend_drained(self) -> None:
        """The server takes bytes again."""
        self._client.gate.release("server")
        self._touch(waited=True)

    # --- the end -------------------------------------------------------------------------------------------------

    def _complete(self) -> None:
        backend, self._backend = self._backend, None
        assert backend is not None
        assert self._answer is not None
        self._over = True
        self._edge.ended(self._account)
        if backend.buffer or not self._answer.persistent or not self._body.done:
            backend.drop()
        else:
            self._edge.pool.give_back(backend)
        self._client.finished(keep=self._persistent, lingers=not self._body.done)

    def _reply(self, answer: Answer, *, with_cookies: bool = False) -> None:
        if self._over:
            return
        self._over = True
        self._account.status = answer.status
        self._account.sent = 0 if self._request.method == "HEAD" else len(answer.body)
        self._edge.ended(self._account)
        keep = self._persistent and self._body.done and not self._edge.draining and answer.status not in (400, 408)
        self._client.transport.write(
            answer_bytes(
                answer,
                self._approach.passage.edits,
                self._approach.cookies if with_cookies else (),
                close=not keep,
                with_body=self._request.method != "HEAD",
            )
        )
        self._client.finished(keep=keep, lingers=not self._body.done)

    def _fail(self, answer: Answer) -> None:
        """End the exchange with an answer of our own, or by breaking off where an answer has begun."""
        if self._answer is not None or self._tunnel:
            return self._break_off()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._backend is not None:
            if answer.status >= 500:  # the server is to blame: it spoke no HTTP, or not in time
                self._edge.failures.failed(self._account)
            self._backend.drop()
            self._backend = None
        return self._reply(answer, with_cookies=answer.status >= 500)

    def _break_off(self) -> None:
        self._over = True
        if self._backend is not None:
            self._backend.drop()
            self._backend = None
        reset(self._client.transport)  # a mere end would make a whole of it, where the end of the connection is that of the answer

    def _touch(self, *, waited: bool = False) -> None:
        """Something went on: the deadline of the phase begins anew. A body has its time in all, and more for what comes of it, so that a
        byte now and then holds no server for ever. `waited`: for the server, so that it begins anew, too.
        """
        now, settings = self._client.now(), self._edge.settings
        if waited:
            self._latest = now + settings.body - self._account.received / settings.least_rate
        if self._tunnel:
            span = settings.tunnel
        elif not self._body.done:
            span = min(settings.body, self._latest + self._account.received / settings.least_rate - now)
        else:
            span = settings.first_byte if self._answer is None else settings.answer
        self._client.deadline = now + span
