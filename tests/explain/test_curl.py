"""Requests as curl lines: read, and written so that they read as the same."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfeather import _curl
from pinfeather.model.decide import Request, Status, normal_path
from pinfeather.model.document import Document

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


@given(requests)
def test_a_line_reads_as_the_request_that_it_was_written_of(request: Request) -> None:
    read = _curl.parse(_curl.line(request)).request
    for field in ("host", "path", "method", "headers", "query", "entry_point", "tls", "client", "bindings"):
        assert getattr(read, field) == getattr(request, field), field


@pytest.mark.parametrize("value", ["a'b", 'a"b', "a\\b", "$HOME", "`id`", "!x", "caf\xe9", "\x01", "a b", "*", "~", "-x"])
def test_a_shell_reads_the_words_as_we_do(value: str) -> None:
    line = _curl.line(Request("a.example", "/", headers=(("x", f"_{value}"),)))
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout.split(b"\0")[:-1]
    assert words == [word.encode("latin-1") for word in _curl._words(line)]


READ = {
    "curl -b canary=v2 https://shop.example/cart?x=y": ("GET", "shop.example", "/cart", "x=y", True),
    "GET shop.example": ("GET", "shop.example", "/", "", False),
    "curl -sS -I --url http://shop.example:8000/": ("HEAD", "shop.example:8000", "/", "", False),
    "curl -XDELETE 'http://shop.example/a/../b'": ("DELETE", "shop.example", "/b", "", False),
    "curl --request=PUT http://127.0.0.1:8000/ -H 'Host: shop.example'": ("PUT", "shop.example", "/", "", False),
    "curl -G -d a=b -d c=d http://x/": ("GET", "x", "/", "a=b&c=d", False),
    "curl --data-raw '{}' http://x/": ("POST", "x", "/", "", False),
    "curl http://x/ \\\n  -H 'A: b'": ("GET", "x", "/", "", False),
}


@pytest.mark.parametrize("line", READ)
def test_read(line: str) -> None:
    request = _curl.parse(line).request
    assert (request.method, request.host, request.path, request.query, request.tls) == READ[line]


WRONG = {
    "": "has no URL",
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
