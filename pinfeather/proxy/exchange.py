"""One request and its answer: from the decision to the last byte.

Bytes go through as they come, in both directions; a side that does not take them stops the reading of the other. An answer
that breaks off ends the client's connection, so that half an answer is never taken for a whole one.
"""

import asyncio
import random
from typing import TYPE_CHECKING

from pinfeather.model.decide import Request, decide
from pinfeather.proxy.account import Account
from pinfeather.proxy.backend import BackendConnection, Origin
from pinfeather.proxy.body import LAST_CHUNK, BodyReader, body_reader, chunk
from pinfeather.proxy.flow import HIGH_WATER, end_writing
from pinfeather.proxy.passage import Answer, Passage, answer_bytes, request_head, response_head
from pinfeather.proxy.wire import Framing, Refused, RequestHead, ResponseHead, parse_response

if TYPE_CHECKING:
    from pinfeather.proxy.client import ClientConnection

# Texts are Traefik's (3.7, pkg/server/router and pkg/server/service), so that both answer alike.
NOT_FOUND = Answer.error(404, "404 page not found")
NO_SERVER = Answer.error(503, "no available server")
CLOSED = Answer.error(503)
MISDIRECTED = Answer.error(421)  # pkg/middlewares/snicheck
BAD_GATEWAY = Answer(502, b"Bad Gateway")
GATEWAY_TIMEOUT = Answer(504, b"Gateway Timeout")
TOO_SLOW = Answer.error(408)
UNEXPECTED = Answer.error(417)
BAD_REQUEST = Answer.error(400)

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
_BODILESS = frozenset(("GET", "HEAD", "OPTIONS", "DELETE"))  # no Content-Length where nothing was announced
_INTERIM_LIMIT = 16  # 1xx answers to one request
_FOREVER = float("inf")


class Exchange:
    """Lives from a request's head to the end of its answer, or of the tunnel that it opened."""

    __slots__ = (
        "_account",
        "_answer",
        "_answer_body",
        "_backend",
        "_body",
        "_chunks",
        "_client",
        "_connecting",
        "_cookies",
        "_edge",
        "_half",
        "_head",
        "_interim",
        "_origin",
        "_over",
        "_passage",
        "_persistent",
        "_request",
        "_retried",
        "_tunnel",
    )

    def __init__(self, client: "ClientConnection", request: RequestHead) -> None:
        self._client = client
        self._edge = client.edge
        self._request = request
        self._account = Account(client, request, client.now())
        self._passage: Passage
        self._body: BodyReader = body_reader(request.framing)
        self._persistent = request.persistent
        self._head = b""  # as it goes to the server
        self._origin: Origin
        self._cookies: tuple[str, ...] = ()
        self._backend: BackendConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._retried = False
        self._answer: ResponseHead | None = None
        self._answer_body: BodyReader
        self._chunks = False  # whether the answer goes out in chunks
        self._interim = 0
        self._tunnel = False
        self._half = False  # whether one side of the tunnel has ended
        self._over = False

    # --- the way to a server -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Decide, go through the middlewares, and set out for the server."""
        request, client = self._request, self._client
        secure = client.secure
        self._passage = passage = Passage.of(request, client.address, "http" if secure is None else "https")
        if any(value.lower() != "100-continue" for value in passage.values("expect")):
            return self._reply(UNEXPECTED)
        live = self._edge.live
        bound = live.serving.cookies.bindings(request.cookies)
        asked = Request(
            host=request.host,
            path=passage.path,
            method=request.method,
            headers=tuple((name, value) for name, value, _ in request.fields),
            query=request.query or "",
            entry_point=client.entry_point,
            tls=secure is not None,
            sni=(secure.sni or "") if secure is not None else "",
            client=client.address,
            bindings=bound,
        )
        account = self._account
        account.live, account.bindings = live, asked.bindings
        account.decision = decision = decide(live.serving.table, asked, live.state, random.getrandbits(64))
        door = live.serving.entrances.door(client.entry_point)
        if decision.route is None or (secure is None and door.tls_only):
            return self._reply(NOT_FOUND)
        if secure is not None and (terms := door.terms[decision.route]) != secure.options:
            return self._reply(CLOSED if terms is None else MISDIRECTED)
        steps = live.serving.steps(decision.middlewares)
        if steps is None:
            return self._reply(CLOSED)
        for step in steps:
            if (answer := step(passage)) is not None:
                return self._reply(answer)
        if decision.status != 200 or decision.service is None or decision.server is None:
            return self._reply(NO_SERVER)
        target = live.serving.target(decision.service, decision.server)
        if target is None:
            return self._reply(CLOSED)
        self._origin, pass_host = target
        account.origin = self._origin
        self._cookies = live.serving.set_cookies(decision, bound, live.state)
        self._head = request_head(
            passage,
            passage.host if pass_host else self._origin.authority,
            request.framing,
            websocket=request.websocket,
            bodiless=request.method in _BODILESS,
        )
        return self._set_out(self._edge.pool.take(self._origin) if self._repeatable else None)

    @property
    def _repeatable(self) -> bool:
        """Whether the request may be sent a second time: nothing of it is lost, and twice is as good as once."""
        return self._request.method in _IDEMPOTENT and self._request.framing.empty and not self._request.websocket

    def _set_out(self, kept: BackendConnection | None) -> None:
        if kept is not None:
            self._begin(kept)
            return
        self._client.deadline = _FOREVER  # connecting has its own
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            connection = await self._edge.pool.connect(self._origin)
        except TimeoutError:
            self._connecting = None
            self._reply(GATEWAY_TIMEOUT, with_cookies=True)
        except OSError:
            self._connecting = None
            self._reply(BAD_GATEWAY, with_cookies=True)
        else:
            self._connecting = None
            self._begin(connection)

    def _begin(self, connection: BackendConnection) -> None:
        self._backend = connection
        connection.exchange = self
        if connection.transport.is_closing():
            connection.exchange = None
            self.backend_lost()
            return
        connection.transport.write(self._head)
        self._client.gate.release("early")
        self._touch()
        if not self._body.done:
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
            payload = (chunk(payload) if payload else b"") + (LAST_CHUNK if self._body.done else b"")
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
        if self._connecting is not None:
            self._connecting.cancel()
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
            self._account.sent += len(backend.buffer)
            self._client.transport.write(bytes(backend.buffer))
            backend.buffer.clear()
            self._touch()
            return
        try:
            written = b"" if self._answer is not None else self._take_heads(backend)
            if self._answer is None:
                return
            payload = self._answer_body.take(backend.buffer)
        except Refused:
            self._fail(BAD_GATEWAY)
            return
        self._account.sent += len(payload)
        if self._chunks:
            payload = (chunk(payload) if payload else b"") + (LAST_CHUNK if self._answer_body.done else b"")
        if written or payload:
            self._client.transport.write(written + payload)
        if self._answer_body.done:
            self._complete()
        elif not self._client.full:
            self._touch()

    def _take_heads(self, backend: BackendConnection) -> bytes:
        """The head of the answer as it goes to the client; interim answers are passed on before."""
        while (head := backend.heads.take(backend.buffer)) is not None:
            response = parse_response(head, self._request.method)
            if response.status == 101:
                self._switch(response, backend)
                return b""
            if response.status >= 200:
                return self._open(response)
            self._interim += 1
            if self._interim > _INTERIM_LIMIT:
                raise Refused("too many interim answers")
            if self._request.minor == 1:
                self._client.transport.write(response_head(response, (), (), chunked=False, close=False))
        return b""

    def _open(self, response: ResponseHead) -> bytes:
        framing = response.framing
        self._answer = response
        self._account.status = self._account.origin_status = response.status
        self._answer_body = body_reader(framing)
        self._chunks = framing.length is None and self._request.minor == 1
        self._persistent &= (framing.length is not None or self._chunks) and self._body.done and not self._edge.draining
        return response_head(response, self._passage.edits, self._cookies, chunked=self._chunks, close=not self._persistent)

    def _switch(self, response: ResponseHead, backend: BackendConnection) -> None:
        if not self._request.websocket or response.upgrade != "websocket":
            raise Refused("switches without having been asked to")
        self._tunnel = True
        self._persistent = False
        self._account.status = self._account.origin_status = response.status
        client = self._client
        head = response_head(response, self._passage.edits, self._cookies, chunked=False, close=False)
        client.transport.write(head + bytes(backend.buffer))
        backend.buffer.clear()
        client.gate.release("early")
        self.client_sent()

    def backend_ended(self) -> bool:
        """The server sends no more. True: its connection stays open for what the client still sends."""
        if self._tunnel:
            return self._pass_end(self._client.transport)
        if self._answer is not None and self._answer.framing == Framing(None) and not self._over:
            if self._chunks:
                self._client.transport.write(LAST_CHUNK)
            self._complete()
        return False

    def _pass_end(self, other: asyncio.Transport) -> bool:
        """One side of the tunnel sends no more. True: the other still may."""
        if self._half:
            return False
        self._half = True
        return end_writing(other)

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
        elif backend.reused and not backend.answered and not self._retried:
            self._account.retries += 1
            self._retried = True  # the server gave the kept connection up just when it was used again
            self._set_out(None)
        else:
            self._reply(BAD_GATEWAY, with_cookies=True)

    def backend_full(self) -> None:
        """The server does not take what is written."""
        self._client.gate.hold("server")

    def backend_drained(self) -> None:
        """The server takes bytes again."""
        self._client.gate.release("server")
        self._touch()

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
                self._passage.edits,
                self._cookies if with_cookies else (),
                close=not keep,
                with_body=self._request.method != "HEAD",
            )
        )
        self._client.finished(keep=keep, lingers=not self._body.done)

    def _fail(self, answer: Answer) -> None:
        """End the exchange with an answer of our own, or by breaking off where an answer has begun."""
        if self._answer is not None or self._tunnel:
            self._break_off()
            return
        if self._backend is not None:
            self._backend.drop()
            self._backend = None
        self._reply(answer, with_cookies=answer.status >= 500)

    def _break_off(self) -> None:
        self._over = True
        if self._backend is not None:
            self._backend.drop()
            self._backend = None
        self._client.transport.abort()

    def _touch(self) -> None:
        """Something went on: the deadline of the phase begins anew."""
        settings = self._edge.settings
        if self._tunnel:
            span = settings.tunnel
        elif not self._body.done:
            span = settings.body
        else:
            span = settings.first_byte if self._answer is None else settings.answer
        self._client.deadline = self._client.now() + span
