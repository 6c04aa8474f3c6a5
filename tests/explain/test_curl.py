"""Requests as curl lines: read, and written so that they read as the same."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pinfeather import _connection, _curl
from pinfeather._shell import words_of
from pinfeather.model.decide import Request, Status, normal_path
from pinfeather.model.document import Document
from tests.required import missing

names = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=10).filter(lambda name: name not in ("host", "cookie"))
values = st.text([chr(code) for code in (9, *range(0x20, 0x7F), *range(0x80, 0x100))], max_size=20).map(lambda text: text.strip(" \t"))
pairs = st.tuples(
    st.just("cookie"), st.text([chr(code) for code in range(0x21, 0x100) if code != 0x7F], max_size=20).map(lambda it: f"a={it}")
)
requests = st.builds(
    Request,
    host=st.sampled_from(["shop.example", "shop.example:8080", "[::1]:80", "odd host", "é.example", "a'b", ""]),
    path=st.text(max_size=20).filter(str.isprintable).map(lambda text: normal_path("/" + text)),
    method=st.sampled_from(["GET", "HEAD", "POST", "PURGE"]),
    headers=st.lists(st.one_of(st.tuples(names, values), pairs), max_size=4).map(tuple),
    query=st.sampled_from(["", "a=b", "a=b&c=[1]", "x='y'", "q=a%20b", "$HOME`x`"]),
    entry_point=st.sampled_from(["", "web", "höhle"]),
    tls=st.booleans(),
    client=st.sampled_from(["127.0.0.1", "10.0.0.1", "::1"]),
    bindings=st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["v1", "http://10.0.0.1:80", "ü b"]), max_size=2),
)


states = st.lists(
    st.tuples(st.sampled_from([Status.DOWN, Status.DRAINING]), st.sampled_from(["s", "a b", "ü"]), st.one_of(st.none(), st.integers(0, 3))),
    max_size=2,
).map(tuple)


@settings(deadline=None)
@given(requests, st.sampled_from(["", "shop.example", "other.example", "_x"]), states)
@example(Request("shop.example", "/", headers=(("a", "\xa0"), ("host-", "\x85x\x85"))), "", ())
def test_a_line_reads_as_the_request_that_it_was_written_of(request: Request, sni: str, down: _curl.States) -> None:
    request = request._replace(sni=(sni or _curl.hello_of(request.host)) if request.tls else "")
    read = _curl.parse(_curl.line(request, down))
    assert read.request == request
    assert read.states == down
    assert not read.ignored


@pytest.mark.parametrize("value", ["a'b", 'a"b', "a\\b", "$HOME", "`id`", "!x", "caf\xe9", "\x01", "a b", "*", "~", "-x"])
def test_a_shell_reads_the_words_as_we_do(value: str) -> None:
    line = _curl.line(Request("a.example", "/", headers=(("x", f"_{value}"),)))
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout.split(b"\0")[:-1]
    assert words == [word.encode("latin-1") for word in words_of(line)]


READ = {
    "curl -b canary=v2 https://shop.example/cart?x=y": ("GET", "shop.example", "/cart", "x=y", True),
    "GET shop.example": ("GET", "shop.example", "/", "", False),
    "curl -sS -I --url http://shop.example:8000/": ("HEAD", "shop.example:8000", "/", "", False),
    "curl -XDELETE 'http://shop.example/a/../b'": ("DELETE", "shop.example", "/b", "", False),
    "curl --request=PUT http://127.0.0.1:8000/ -H 'Host: shop.example'": ("PUT", "shop.example", "/", "", False),
    "curl -G -d a=b -d c=d http://x/": ("GET", "x", "/", "a=b&c=d", False),
    "curl --data-raw '{}' http://x/": ("POST", "x", "/", "", False),
    "curl http://x/ \\\n  -H 'A: b'": ("GET", "x", "/", "", False),
    "curl -so /dev/null -w '%{http_code}' -L http://x/": ("GET", "x", "/", "", False),
    "curl -sIXPURGE http://x/": ("PURGE", "x", "/", "", False),
    "curl -G --data-urlencode 'q=a b&c' http://x/?z": ("GET", "x", "/", "z&q=a%20b%26c", False),
    "curl -T file http://x/": ("PUT", "x", "/", "", False),
    "curl --resolve x:443:127.0.0.1 https://x/": ("GET", "x", "/", "", True),
    "https://x/a": ("GET", "x", "/a", "", True),
}


@pytest.mark.parametrize("line", READ)
def test_read(line: str) -> None:
    request = _curl.parse(line).request
    assert (request.method, request.host, request.path, request.query, request.tls) == READ[line]


HEADERS = {
    "curl -b a=b -b 'c=d; e=f' http://x/": (("cookie", "a=b; c=d; e=f"),),
    "curl -b a=b -H 'Cookie: c=d' http://x/": (("cookie", "c=d"),),
    "curl -H 'Cookie: a=b' -H 'cookie: c=d' http://x/": (("cookie", "a=b"), ("cookie", "c=d")),
    "curl -u user:pass http://x/": (("authorization", "Basic dXNlcjpwYXNz"),),
    "curl http://user:p%40ss@x/": (("authorization", "Basic dXNlcjpwQHNz"),),
    "curl --oauth2-bearer token http://x/": (("authorization", "Bearer token"),),
    "curl -A agent -e http://y/ -r 0-9 http://x/": (("user-agent", "agent"), ("referer", "http://y/"), ("range", "bytes=0-9")),
    "curl -H 'X-Empty;' -H 'X-Gone:' http://x/": (("x-empty", ""),),
}


@pytest.mark.parametrize("line", HEADERS)
def test_headers(line: str) -> None:
    assert _curl.parse(line).request.headers == HEADERS[line]


def test_what_the_hello_says() -> None:
    def hello(line: str) -> tuple[str, str]:
        request = _curl.parse(line).request
        return request.host, request.sni

    assert hello("curl https://Shop.Example:8443/") == ("Shop.Example:8443", "shop.example")
    assert hello("curl https://shop.example./") == ("shop.example.", "shop.example")
    assert hello("curl -H 'Host: shop.example' https://other.example/") == ("shop.example", "other.example")
    assert hello("curl https://127.0.0.1/") == ("127.0.0.1", "")
    assert hello("curl https://[::1]:443/") == ("[::1]:443", "")
    assert hello("curl http://shop.example/") == ("shop.example", "")


def test_a_body_is_named() -> None:
    for line in ("curl -d x http://x/", "curl -F a=b http://x/", "curl -T f http://x/", "curl --json {} http://x/"):
        assert _curl.parse(line).ignored == ("the body: no route asks for it",)
    assert not _curl.parse("curl -G -d x http://x/").ignored


# A real curl, as judge -------------------------------------------------------------------------------------------------------

SENT = (
    Request("shop.example", "/", headers=(("cookie", "a=b; c=d"), ("x-a", "b \"c\" $d 'e' \\")), query="q=[1]&r={2}&s=a%20b"),
    Request("shop.example:8080", "/a/b%20c", "HEAD"),
    Request("odd_host", normal_path("/[x]{y}|"), "PURGE", (("x-empty", ""), ("x-latin", "caf\xe9"))),
    Request("a'b", "/", "DELETE", (("cookie", "a=1"), ("cookie", "b=2"))),
    Request("[::1]:80", "/", "OPTIONS", (("user-agent", "me"),)),
)


@contextlib.contextmanager
def one_request() -> Iterator[tuple[int, list[bytes]]]:
    """A port on loopback, and the head of the one request that comes in there."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(20)
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536)
                heads.append(head)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], heads
        thread.join()


@pytest.mark.parametrize("request_", SENT, ids=lambda request: request.host)
def test_a_real_curl_sends_the_request_of_its_line(request_: Request) -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        missing("curl, or bash")
    with one_request() as (port, heads):
        line = _curl.line(request_).removeprefix("curl ")
        run = f"curl -q -sS --noproxy '*' --max-time 20 --connect-to ::127.0.0.1:{port} {line}"
        subprocess.run(["bash", "-c", run], check=True, stdout=subprocess.DEVNULL)
    lines = heads[0].decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    fields = [(name.lower(), value.lstrip(" ")) for name, _, value in (each.partition(":") for each in lines[1:] if each)]
    assert method == request_.method
    path, _, query = target.partition("?")
    assert (normal_path(path), query) == (request_.path, request_.query)
    own = [(name, value) for name, value in fields if name not in ("host", "accept", "user-agent")]
    assert sorted(own) == sorted(pair for pair in request_.headers if pair[0] != "user-agent")
    assert dict(fields)["host"] == request_.host
    assert dict(fields)["user-agent"].startswith(dict(request_.headers).get("user-agent", "curl/"))


WRONG = {
    "": "has no URL; write it as curl https://host/path",
    "curl": "has no URL",
    "b.yaml": "'b.yaml' is no request",
    "wget http://x/": "is no request",
    "curl -sq http://x/": "-q in -sq is not known here",
    "curl --resolve": "--resolve stands at the end without its value",
    "curl -H": "-H stands at the end without its value",
    "curl -b jar.txt http://x/": "a file of cookies is not read",
    "curl --frob http://x/": "--frob is not known here",
    "curl http://x/ http://y/": "two URLs",
    "curl 'http://x/": "the quote at column 6 has no end",
    "curl ftp://x/": "is no URL that a proxy is asked for",
    "curl http://x:99999/": "is no URL",
    "curl http://x/ -H novalue": "has no colon",
    "curl http://x/ --bound a": "write it as COOKIE=WHAT",
    "curl http://x/ --down a/b": "write it as SERVICE or SERVICE/NUMBER",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong(line: str) -> None:
    with pytest.raises(_curl.LineError) as wrong:
        _curl.parse(line)
    assert WRONG[line] in str(wrong.value)


def test_entry_points() -> None:
    def point(line: str, **document: object) -> str:
        return _curl.entry_point(_curl.parse(line), Document.model_validate(document))

    ports = {"entry_points": {"web": 80, "admin": 8080, "tls": 443}}
    assert point("curl http://x/", **ports) == "web"
    assert point("curl http://x:8080/", **ports) == "admin"
    assert point("curl https://x/", **ports) == "tls"
    assert point("curl http://x/ --entry-point tls", **ports) == "tls"
    assert point("curl https://x/") == "websecure"
    assert point("curl http://x/", entry_points={"only": 9000}) == "only"


def test_states() -> None:
    service = {"s": {"servers": [{"url": "http://a:1"}, {"url": "http://b:1"}]}}
    document = Document.model_validate({"services": service})
    asked = _curl.parse("curl http://x/ --down s/2 --draining s/1")
    assert _curl.state_of(document, asked.states).servers == {"s": (Status.DRAINING, Status.DOWN)}
    for wrong in ("--down t", "--down s/3", "--down s/0"):
        with pytest.raises(_curl.LineError):
            _curl.state_of(document, _curl.parse(f"curl http://x/ {wrong}").states)


def test_what_is_shown_is_one_shell_line() -> None:
    line = _curl.line(Request("a.example", "/a[1]", headers=(("cookie", "a=b"),), tls=True))
    assert line == "curl -g -b a=b 'https://a.example/a[1]'"
    assert shlex.split(line)[0] == "curl"


words = st.one_of(
    st.sampled_from(
        ["curl", "-H", "-b", "-d", "-G", "-u", "-sI", "'", "$'\\xff'", "a=b", "a: b", "Host: é", "--data-urlencode", "--bound", "--down"]
    ),
    st.sampled_from(
        ["http://x/", "https://[::1]/", "http://u:p@h:80/%zz?q", "http://[", "http://\udcff/", "tls://x:1", "tcp://:5", "--alpn"]
    ),
    st.text(max_size=8),
)


@settings(deadline=None)
@given(st.lists(words, max_size=7).map(" ".join))
def test_whatever_a_line_is_it_is_read_or_refused(text: str) -> None:
    for parse in (_curl.parse, _connection.parse):
        with contextlib.suppress(_curl.LineError):
            parse(f"curl {text}")
