"""The reader of TLS hellos: real ones, cut and broken ones, and any bytes."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfeather.proxy.hello import LARGEST, RECORDS, Hello, More, Verdict, read_hello


def real(name: str | None, alpn: tuple[str, ...] = (), most: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> bytes:
    """The hello that OpenSSL sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = most
    if alpn:
        context.set_alpn_protocols(list(alpn))
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    return out.read()


def vector(width: int, body: bytes) -> bytes:
    return len(body).to_bytes(width, "big") + body


def extension(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, body)


def server_name(*names: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, b"".join(bytes((kind,)) + vector(2, name) for name in names)))


def protocols(*names: bytes) -> bytes:
    return extension(16, vector(2, b"".join(vector(1, name) for name in names)))


def message(*extensions: bytes, version: bytes = b"\3\3", session: bytes = b"", suites: bytes = b"\x13\1", methods: bytes = b"\0") -> bytes:
    body = version + bytes(32) + vector(1, session) + vector(2, suites) + vector(1, methods)
    return b"\1" + vector(3, body + (vector(2, b"".join(extensions)) if extensions else b""))


def records(data: bytes, *cuts: int) -> bytes:
    """A message in records that are cut there."""
    ends = [*cuts, len(data)]
    parts = [data[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    return b"".join(b"\x16\3\1" + vector(2, part) for part in parts)


def wants_more(hello: bytes) -> None:
    """Each beginning of it wants more than it has, and no more than there is."""
    for end in range(len(hello)):
        found = read_hello(hello[:end])
        assert isinstance(found, More)
        assert end < found.bytes <= len(hello)


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", [None, "a.example", "A-b_C.Example", "x" * 63 + ".example"])
@pytest.mark.parametrize("alpn", [(), ("http/1.1",), ("h2", "http/1.1", "\xff")])
def test_a_real_hello(name: str | None, alpn: tuple[str, ...], most: ssl.TLSVersion) -> None:
    hello = real(name, tuple(text for text in alpn if text.isascii()), most)
    assert read_hello(hello) == Hello(name and name.lower(), tuple(text for text in alpn if text.isascii()))


def test_every_beginning_of_a_hello_wants_more() -> None:
    hello = real("a.example", ("h2", "http/1.1"))
    wants_more(hello)


@given(st.sets(st.integers(1, 190), max_size=6))
def test_in_whatever_records_it_comes(cuts: set[int]) -> None:
    whole = message(server_name(b"a.example"), protocols(b"h2", b"http/1.1"), session=bytes(32), suites=bytes(100))
    raw = records(whole, *sorted(cuts))
    assert read_hello(raw) == Hello("a.example", ("h2", "http/1.1"))
    wants_more(raw)


def test_what_follows_in_a_record_of_its_own_is_let_alone() -> None:
    assert read_hello(records(message(server_name(b"a"))) + b"\x17\3\3\0\5early") == Hello("a", ())


def test_a_hello_without_extensions() -> None:
    assert read_hello(records(message())) == Hello(None, ())


A = server_name(b"a.example")
BROKEN = {
    "a record of nothing": b"\x16\3\1\0\0",
    "a record that is too long": b"\x16\3\1\x40\x01",
    "another version of records": b"\x16\2",
    "another message": records(b"\2" + vector(3, b"")),
    "another kind of record between": records(message(A), 20)[:25] + b"\x15\3\1\0\2\2\0",
    "a message after it": records(message(A) + b"\1"),
    "the beginning of a message after it": records(message(A) + b"\1\0\0\0")[:-2],
    "a version that never was": records(message(A, version=b"\2\0")),
    "a session that is too long": records(message(A, session=bytes(33))),
    "no suites": records(message(A, suites=b"")),
    "half a suite": records(message(A, suites=b"abc")),
    "no method of compression": records(message(A, methods=b"")),
    "compression alone": records(message(A, methods=b"\1")),
    "an extension twice": records(message(A, A)),
    "an extension that is cut": records(b"\1" + vector(3, message(A)[4:-1])),
    "something after the extensions": records(b"\1" + vector(3, message(A)[4:] + b"x")),
    "two names": records(message(server_name(b"a", b"b"))),
    "no name": records(message(server_name())),
    "an empty name": records(message(server_name(b""))),
    "another kind of name": records(message(server_name(b"a", kind=1))),
    "something after the name": records(message(extension(0, vector(2, b"\0" + vector(2, b"a")) + b"x"))),
    "a name with a dot at its end": records(message(server_name(b"a.example."))),
    "a name with an empty label": records(message(server_name(b"a..example"))),
    "a name with a null": records(message(server_name(b"a\0.example"))),
    "a name with a line's end": records(message(server_name(b"a.example\n"))),
    "a name that is too long": records(message(server_name(b"x" * 256))),
    "no protocol": records(message(protocols())),
    "an empty protocol": records(message(protocols(b"h2", b""))),
    "something after the protocols": records(message(extension(16, vector(2, vector(1, b"h2")) + b"x"))),
    "a hello over the limit": b"\x16\3\1\x40\0\1\0\x40\0",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_a_broken_hello(raw: bytes) -> None:
    assert read_hello(raw) is Verdict.BROKEN


def test_a_hello_over_the_limits() -> None:
    whole = message(A, suites=bytes(LARGEST - 200))
    assert read_hello(records(whole)) == Hello("a.example", ())
    over = message(A, suites=bytes(LARGEST))
    assert read_hello(records(over, 9000)) is Verdict.BROKEN
    assert read_hello(records(over)[:9]) is Verdict.BROKEN  # seen at its first bytes


def test_a_hello_in_too_many_records() -> None:
    whole = message(A)
    assert read_hello(records(whole, *range(1, RECORDS))) == Hello("a.example", ())
    assert read_hello(records(whole, *range(1, RECORDS + 1))) is Verdict.BROKEN


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.1\r\n\r\n", b"\x80\x2e\1\0\2", b"\0", b"\x15\3\1", b"\xff" * 20])
def test_no_tls(raw: bytes) -> None:
    assert read_hello(raw) is Verdict.PLAIN


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    for data in (raw, b"\x16\3\1" + raw, records(b"\1" + vector(3, raw)), records(message(raw)), records(message(extension(0, raw)))):
        assert isinstance(read_hello(data), Hello | More | Verdict)


HELLO = real("a.example", ("h2", "http/1.1"))


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255), st.integers(0, len(HELLO)))
def test_a_real_hello_with_another_byte(at: int, byte: int, end: int) -> None:
    changed = (HELLO[:at] + bytes((byte,)) + HELLO[at + 1 :])[:end]
    assert isinstance(read_hello(changed), Hello | More | Verdict)


@given(st.text(st.characters(max_codepoint=126), max_size=9).map(str.encode))
def test_what_is_read_of_a_broken_one_is_what_openssl_reads(noise: bytes) -> None:
    """Where the reader sees a name, OpenSSL sees the same one: a route is not chosen by a name that no server would see."""
    at = HELLO.index(b"a.example")
    raw = HELLO[:at] + (noise + b"a.example")[:9] + HELLO[at + 9 :]
    seen: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _, name, __: seen.append(name)
    incoming = ssl.MemoryBIO()
    incoming.write(raw)
    with contextlib.suppress(ssl.SSLError):
        context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    found = read_hello(raw)
    assert found is Verdict.BROKEN or (isinstance(found, Hello) and [found.sni] == [name and name.lower() for name in seen])
