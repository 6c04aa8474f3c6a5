"""The strict HTTP/1.1 profile, line by line: whole, and fed byte by byte."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfeather.proxy.body import body_reader
from pinfeather.proxy.fields import FIELD_LIMIT, Framing, Refused, Section, end_to_end, parse_cookies
from pinfeather.proxy.wire import HEAD_LIMIT, LINE_LIMIT, HeadReader, RequestHead, parse_request, parse_response

GOOD = {
    "plain": b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "port": b"GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n",
    "ipv4": b"GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n",
    "ipv6": b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "final dot": b"GET / HTTP/1.1\r\nHost: a.example.\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    "absolute, same authority": b"GET http://A.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "absolute without a path": b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
    "length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunk extension": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
    "trailer": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    "two chunks": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0000002\r\nbc\r\n00\r\n\r\n",
    "empty value": b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n",
    "latin-1 value": b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xe9\r\n\r\n",
    "tab in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX:\ta\tb \r\n\r\n",
    "one empty line before": b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "encoded path": b"GET /a%2Fb%61?x=%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "path of characters that Traefik escapes": b'GET /|"{}\\`^ HTTP/1.1\r\nHost: a\r\n\r\n',
    "line at the limit": b"GET /" + b"a" * (LINE_LIMIT - len("GET / HTTP/1.1")) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "fields at the limit": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * (FIELD_LIMIT - 1) + b"\r\n",
}

_POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
BAD = {
    "length and coding": _POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "coding and length": _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "two lengths": _POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "two equal lengths": _POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "length list": _POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "length sign": _POST + b"Content-Length: +3\r\n\r\nabc",
    "negative length": _POST + b"Content-Length: -3\r\n\r\nabc",
    "hexadecimal length": _POST + b"Content-Length: 0x3\r\n\r\nabc",
    "length with a letter": _POST + b"Content-Length: 3a\r\n\r\nabc",
    "length with an underscore": _POST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "length with a space": _POST + b"Content-Length: 1 0\r\n\r\n0123456789",
    "empty length": _POST + b"Content-Length:\r\n\r\n",
    "length of 19 digits": _POST + b"Content-Length: 0000000000000000003\r\n\r\nabc",
    "huge length": _POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "coding gzip": _POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "coding gzip, chunked": _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding chunked, chunked": _POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "coding chunked, identity": _POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "coding in capitals": _POST + b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    "coding in quotes": _POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "coding after a vertical tab": _POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "empty coding": _POST + b"Transfer-Encoding:\r\n\r\n",
    "two codings": _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding on HTTP/1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded line": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "folded first line": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF once": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "bare LF at the end": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
    "bare CR in the first line": b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
    "CR CR LF": b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "control in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n",
    "DEL in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
    "tab before the colon": b"GET / HTTP/1.1\r\nHost: a\r\nX\t: y\r\n\r\n",
    "length with a space before the colon": _POST + b"Content-Length : 3\r\n\r\nabc",
    "name with a bracket": b"GET / HTTP/1.1\r\nHost: a\r\nX[]: y\r\n\r\n",
    "name with latin-1": b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: y\r\n\r\n",
    "name with NUL": b"GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
    "no Host, HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "empty Host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "Host with a user": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "Host with a path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "Host list": b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
    "Host with a space": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "Host with an empty label": b"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n",
    "Host with a bad port": b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "Host with a large port": b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n",
    "Host of a port alone": b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
    "Host with latin-1": b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n",
    "absolute, another authority": b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute, another port": b"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute with a user": b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute of another scheme": b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority": b"GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "raw non-ASCII in the target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "control in the target": b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "DEL in the target": b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
    "tab in the target": b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "leading space": b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "space at the line's end": b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "fragment": b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "broken escape": b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "half an escape": b"GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http in small letters": b"GET / http/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "CONNECT with a path": b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "method that is no token": b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "two empty lines before": b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
    "line over the limit": b"GET /" + b"a" * (LINE_LIMIT - len("GET / HTTP/1.1") + 1) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "line without an end": b"GET /" + b"a" * (LINE_LIMIT + 2),
    "head over the limit": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * HEAD_LIMIT + b"\r\n\r\n",
    "fields over the limit": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * FIELD_LIMIT + b"\r\n",
    "cookies over the limit": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=" + b"b" * 16 * 1024 + b"\r\n\r\n",
    "cookie pairs over the limit": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + b"a=b;" * 201 + b"\r\n\r\n",
    "chunk size 0x": _CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "chunk size +": _CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "chunk size -": _CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "chunk size _": _CHUNKED + b"0_3\r\nabc\r\n0\r\n\r\n",
    "chunk size and a space": _CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "space and a chunk size": _CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
    "empty chunk size": _CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "chunk size over 2**63": _CHUNKED + b"8000000000000000\r\nabc\r\n0\r\n\r\n",
    "chunk size of 17 digits": _CHUNKED + b"00000000000000003\r\nabc\r\n0\r\n\r\n",
    "chunk line with LF": _CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "chunk extension with LF": _CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "chunk extension with NUL": _CHUNKED + b"3;a\0\r\nabc\r\n0\r\n\r\n",
    "long chunk extension": _CHUNKED + b"3;" + b"a" * 300 + b"\r\nabc\r\n0\r\n\r\n",
    "chunk ended by LF": _CHUNKED + b"3\r\nabc\n0\r\n\r\n",
    "chunk ended by two others": _CHUNKED + b"3\r\nabcXY0\r\n\r\n",
    "chunk ended by CR and another": _CHUNKED + b"3\r\nabc\rX0\r\n\r\n",
    "chunk longer than said": _CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "last chunk with LF": _CHUNKED + b"3\r\nabc\r\n0\n\n",
    "trailers with LF": _CHUNKED + b"0\r\nX: y\n\r\n",
    "trailer with a space before its colon": _CHUNKED + b"0\r\nX : y\r\n\r\n",
    "trailer with NUL": _CHUNKED + b"0\r\nX: \0\r\n\r\n",
    "trailers over the limit": _CHUNKED + b"0\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
}


def read(pieces: list[bytes]) -> tuple[RequestHead, bytes, bytes] | None:
    """One request with its body, and what was left over; None while it is not complete."""
    buffer, heads, request, payload = bytearray(), HeadReader(skips=True), None, b""
    body = None
    for piece in pieces:
        buffer += piece
        if request is None:
            head = heads.take(buffer)
            if head is None:
                continue
            request = parse_request(head)
            body = body_reader(request.framing)
        assert body is not None
        if not body.done:
            payload += body.take(buffer)
    return (request, payload, bytes(buffer)) if request is not None and body is not None and body.done else None


def each_byte(raw: bytes) -> list[bytes]:
    return [raw[at : at + 1] for at in range(len(raw))]


@pytest.mark.parametrize("raw", GOOD.values(), ids=GOOD)
def test_taken(raw: bytes) -> None:
    whole = read([raw])
    assert whole is not None
    assert whole[2] == b""
    assert read(each_byte(raw)) == whole
    assert all(read([raw[:at], raw[at:]]) == whole for at in range(1, min(len(raw), 200)))
    if raw.startswith(b"POST"):
        assert whole[1] == b"abc"


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
def test_refused(raw: bytes) -> None:
    with pytest.raises(Refused) as whole:
        read([raw])
    assert whole.value.status in (400, 414, 431)
    with pytest.raises(Refused) as bytewise:
        read(each_byte(raw))
    assert bytewise.value.status == whole.value.status


class Cut:
    """The fields as llhttp calls them back."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))


@pytest.mark.parametrize("raw", GOOD.values(), ids=GOOD)
def test_both_readers_see_the_same_fields(raw: bytes) -> None:
    _same_fields(raw.removeprefix(b"\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n")


def _same_fields(head: bytes) -> None:
    cut = Cut()
    httptools.HttpRequestParser(cut).feed_data(head)
    assert [(spelled, value) for _, value, spelled in parse_request(head).fields] == cut.fields


names = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=12)
values = st.text("".join(map(chr, (9, *range(0x20, 0x7F), *range(0x80, 0x100)))), max_size=30)


@given(st.lists(st.tuples(names, values), max_size=8))
def test_both_readers_see_the_same_fields_of_any_head(pairs: list[tuple[str, str]]) -> None:
    fields = "".join(f"{name}:{value}\r\n" for name, value in pairs)
    head = f"GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode("latin-1")
    try:
        parse_request(head)
    except Refused:
        return
    _same_fields(head)


HEADS = [raw.removeprefix(b"\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for raw in (*GOOD.values(), *BAD.values())]


def _verdict(head: bytes, before: Section | None) -> object:
    try:
        return parse_request(head, before)
    except Refused as refused:
        return refused.status, refused.why


def test_what_came_before_changes_nothing() -> None:
    """Equal bytes are equal fields: with the fields of any other head in mind, every head is read as it is without."""
    sections = [found.section for head in HEADS if isinstance(found := _verdict(head, None), RequestHead)]
    assert len(sections) > 10
    for head in HEADS:
        alone = _verdict(head, None)
        for section in sections:
            assert _verdict(head, section) == alone


@given(
    st.lists(st.tuples(names, values), max_size=4),
    st.sampled_from(["GET", "POST", "X", ""]),
    st.sampled_from(["/", "/a?b", "*", "/\x7f", "/ a"]),
)
def test_the_same_fields_behind_another_line(pairs: list[tuple[str, str]], method: str, target: str) -> None:
    fields = "".join(f"{name}:{value}\r\n" for name, value in pairs)
    first = _verdict(f"GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode("latin-1"), None)
    if isinstance(first, RequestHead):
        for version in ("1.1", "1.0", "2.0"):
            head = f"{method} {target} HTTP/{version}\r\nHost: a\r\n{fields}\r\n".encode("latin-1")
            assert _verdict(head, first.section) == _verdict(head, None)


def test_what_follows_a_message_is_left() -> None:
    for name in ("length", "chunked", "trailer"):
        found = read([GOOD[name] + b"GET /next"])
        assert found is not None
        assert found[2] == b"GET /next"


def test_no_quadratic_time() -> None:
    # Each of these took minutes where a pattern backtracks; the whole test is to take well below a second.
    for filling in (b"X: " + b" " * 60_000 + b"\0", b"X" * 60_000, b"X:y\r\n" * 12_000 + b"\0", b"Cookie: " + b"=" * 16_000):
        with pytest.raises(Refused):
            parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + filling + b"\r\n\r\n\0")
    with pytest.raises(Refused):
        parse_request(b"GET / HTTP/1.1\r\nHost: " + b"a." * 30_000 + b"!\r\n\r\n")


def test_cookies_are_read_linearly_and_a_broken_pair_hides_none() -> None:
    assert parse_cookies(['a=1; broken; =2; b="x y"; a=3', "c=4=5;"]) == (
        ("a", "1"),
        ("b", '"x y"'),
        ("a", "3"),
        ("c", "4=5"),
    )


def test_connection_takes_no_end_to_end_field_away() -> None:
    head = parse_request(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine, host, COOKIE, Authorization, x-forwarded-for\r\n"
        b"Connection: X-Other\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-Mine: 1\r\nX-Other: 2\r\nCookie: a=b\r\n"
        b"Authorization: Basic x\r\nX-Forwarded-For: 1\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nProxy-Connection: x\r\n\r\n"
    )
    assert [name for name, _, _ in end_to_end(head.fields, head.options)] == ["host", "cookie", "authorization", "x-forwarded-for"]
    assert "x-mine" in head.options
    assert not head.persistent


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"GET", b"PUT"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b": 13", b": 12"),
        (b"Version: 13\r\n", b"Version: 13\r\nSec-WebSocket-Version: 13\r\n"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        (b", Upgrade", b""),
        (b"WebSocket\r\nSec", b"h2c\r\nSec"),
        (b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\nx"),
    ],
)
def test_only_a_full_handshake_is_a_websocket(old: bytes, new: bytes) -> None:
    assert parse_request(HANDSHAKE).websocket
    changed = HANDSHAKE.replace(old, new)
    assert changed != HANDSHAKE
    head = HeadReader().take(bytearray(changed))
    assert head is not None
    assert not parse_request(head).websocket


@pytest.mark.parametrize(
    ("raw", "method", "framing"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", Framing(3)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", Framing(0)),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "GET", Framing(0)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", Framing(0)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", Framing(None, chunked=True)),
        (b"HTTP/1.1 200\r\n\r\n", "GET", Framing(None)),
        (b"HTTP/1.0 200 OK\r\n\r\n", "GET", Framing(None)),
    ],
)
def test_answers(raw: bytes, method: str, framing: Framing) -> None:
    assert parse_response(raw, method).framing == framing


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n X: a\r\n\r\n",
        b"garbage\r\n\r\n",
    ],
)
def test_answers_that_are_refused(raw: bytes) -> None:
    with pytest.raises(Refused):
        parse_response(raw, "GET")
