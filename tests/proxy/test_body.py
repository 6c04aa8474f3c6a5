"""Bodies over generated cuts and mutations: how bytes arrive changes nothing, and nothing but Refused is ever raised."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pinfeather.proxy.body import LAST_CHUNK, Chunked, Sized, chunked
from pinfeather.proxy.fields import Refused
from pinfeather.proxy.wire import HeadReader, parse_request, parse_response

HEAD = b"POST /a?b HTTP/1.1\r\nHost: a.example:80\r\nConnection: close, X\r\nCookie: a=b; c\r\nX: \r\nTransfer-Encoding: chunked\r\n\r\n"


def fed(reader: Chunked | Sized, raw: bytes, cuts: list[int]) -> tuple[bytes, bytes] | None:
    """Payload and rest, or None where it is refused."""
    buffer, payload = bytearray(), b""
    places = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    try:
        for start, stop in pairwise(places):
            buffer += raw[start:stop]
            if not reader.done:
                payload += reader.take(buffer)
    except Refused:
        return None
    return payload, bytes(buffer)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.binary(max_size=10), st.lists(st.integers(0, 500), max_size=12))
def test_what_was_framed_is_read_back(parts: list[bytes], rest: bytes, cuts: list[int]) -> None:
    raw = b"".join(chunked(part, last=False) for part in parts) + LAST_CHUNK
    assert fed(Chunked(), raw + rest, cuts) == (b"".join(parts), rest)


@given(st.binary(max_size=60), st.integers(0, 60), st.lists(st.integers(0, 500), max_size=12))
def test_a_length_takes_so_many_bytes(raw: bytes, length: int, cuts: list[int]) -> None:
    assert fed(Sized(length), raw, cuts) == (raw[:length], raw[length:])


mutations = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 3), st.sampled_from([b"\r", b"\n", b"\0", b" ", b"0", b";", b"x", b"\r\n", b"\xff"])),
    max_size=3,
)


def mutated(raw: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for at, gone, new in changes:
        at %= len(raw) + 1
        raw = raw[:at] + new + raw[at + gone :]
    return raw


@given(mutations, st.lists(st.integers(0, 500), max_size=12))
def test_cuts_never_change_what_a_chunked_body_is(changes: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    raw = mutated(b"5;e=1\r\nhello\r\n0a\r\n0123456789\r\n0\r\nT: v\r\n\r\nrest", changes)
    assert fed(Chunked(), raw, cuts) == fed(Chunked(), raw, [])


@given(mutations)
def test_a_head_is_read_or_refused(changes: list[tuple[int, int, bytes]]) -> None:
    raw = mutated(HEAD, changes)
    try:
        head = HeadReader(skips=True).take(bytearray(raw))
        if head is None:
            return
        request = parse_request(head)
    except Refused:
        return
    assert request.host
    assert request.path.startswith("/")
    assert all(not set("\r\n\0") & set(name + value) for name, value, _ in request.fields)


@given(mutations)
def test_an_answers_head_is_read_or_refused(changes: list[tuple[int, int, bytes]]) -> None:
    raw = mutated(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\n", changes)
    try:
        head = HeadReader().take(bytearray(raw))
        if head is not None:
            assert 100 <= parse_response(head, "GET").status < 600
    except Refused:
        pass
