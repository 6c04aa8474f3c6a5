"""Sticky cookies against forgers, old keys, and pools that look alike."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinfeather.model.decide import DRAWS, Decision, Request, decide
from pinfeather.model.document import Document
from pinfeather.proxy.cookies import Seal
from pinfeather.proxy.keys import read_keys
from pinfeather.proxy.loading import Unreadable
from pinfeather.proxy.serving import Serving

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage

NEW, OLD, STRANGE = b"the key of today" * 2, b"the key of before" * 2, b"the key of others" * 2
SERVERS = [{"url": f"http://10.0.0.{number}"} for number in (1, 2, 3)]


def twins(name_of_two: str = "id") -> Document:
    """Two services with the same servers, whose cookies are equal in every attribute, and a split over both."""
    return Document.model_validate(
        {
            "routes": [
                {"name": "one", "hosts": ["one.example"], "to": "one"},
                {"name": "two", "hosts": ["two.example"], "to": "two"},
                {
                    "name": "both",
                    "hosts": ["both.example"],
                    "split": [{"to": "one", "weight": 1}, {"to": "two", "weight": 1}],
                    "sticky": {"cookie": {"name": "variant"}},
                },
            ],
            "services": {
                "one": {"servers": SERVERS, "sticky": {"cookie": {"name": "id"}}},
                "two": {"servers": SERVERS, "sticky": {"cookie": {"name": name_of_two}}},
            },
        }
    )


def ask(serving: Serving, host: str, *cookies: tuple[str, str], draw: int = 0) -> tuple[Decision, tuple[str, ...]]:
    bound = serving.cookies.bindings(cookies)
    state = serving.state({})
    decision = decide(serving.table, Request(host=host, path="/", bindings=bound), state, draw)
    return decision, serving.set_cookies(decision, bound, state)


def values(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(text.split("=")[0], text.split("=")[1].split(";")[0]) for text in texts]


def test_a_value_binds_nobody_in_a_pool_that_looks_alike() -> None:
    serving = Serving.of(twins(), Seal(NEW), "r")
    for draw in (0, DRAWS // 2, DRAWS - 1):
        there, texts = ask(serving, "one.example", draw=draw)
        (cookie,) = values(texts)
        assert ask(serving, "one.example", cookie, draw=0)[0].server_key == there.server_key
        assert ask(serving, "one.example", cookie)[1] == ()
        for other in (0, DRAWS // 2, DRAWS - 1):  # drawn as if it had no cookie, and given one of its own
            decision, fresh = ask(serving, "two.example", cookie, draw=other)
            assert (decision.server_key, fresh) == (
                ask(serving, "two.example", draw=other)[0].server_key,
                ask(serving, "two.example", draw=other)[1],
            )
            assert values(fresh)[0][0] == "id"
            assert decision.server_key != there.server_key or values(fresh)[0] != cookie


def test_as_traefik_a_value_binds_wherever_it_stands() -> None:
    serving = Serving.of(twins(), Seal(NEW, traefik_compat=True), "r")
    there, texts = ask(serving, "one.example", draw=DRAWS - 1)
    assert ask(serving, "two.example", *values(texts))[0].server_key == there.server_key
    assert ask(serving, "two.example", *values(texts))[1] == ()


def test_ten_thousand_cookies_that_were_not_given() -> None:
    """Forged ones, those of other pools and of other keys: each is as good as none."""
    serving = Serving.of(twins("other"), Seal(NEW), "r")
    strangers = Serving.of(twins("other"), Seal(STRANGE), "r")
    chance = random.Random(20261126)
    given = {name: values(ask(serving, f"{name}.example", draw=chance.randrange(DRAWS))[1]) for name in ("one", "two", "both")}
    for _ in range(10_000):
        host = chance.choice(("one", "two", "both"))
        kind = chance.randrange(4)
        if kind == 0:
            value = "".join(chance.choices("0123456789abcdef", k=16))
        elif kind == 1:
            value = values(ask(strangers, f"{host}.example", draw=chance.randrange(DRAWS))[1])[-1][1]
        elif kind == 2:
            value = chance.choice(given["two" if host == "one" else "one"])[1]
        else:
            value = "".join(chr(chance.randrange(0x20, 0x100)) for _ in range(chance.randrange(40)))
        name = {"one": "id", "two": "other", "both": "variant"}[host]
        draw = chance.randrange(DRAWS)
        assert ask(serving, f"{host}.example", (name, value), draw=draw) == ask(serving, f"{host}.example", draw=draw)


def test_an_old_key_is_taken_and_given_out_anew() -> None:
    before = Serving.of(twins(), Seal(OLD), "r")
    during = before.sealed(Seal(NEW, old=(OLD,)))
    after = before.sealed(Seal(NEW))
    draw = DRAWS - 1
    there, texts = ask(before, "both.example", draw=draw)
    old = values(texts)
    assert [name for name, _ in old] == ["variant", "id"]
    kept, anew = ask(during, "both.example", *old)  # a draw of 0 would lead elsewhere
    assert (kept.service, kept.server_key) == (there.service, there.server_key)
    assert [name for name, _ in values(anew)] == ["variant", "id"]
    assert not {value for _, value in values(anew)} & {value for _, value in old}
    assert ask(during, "both.example", *values(anew)) == (kept, ())  # once
    assert ask(after, "both.example", *values(anew)) == (kept, ())  # and it outlives the old key
    assert len(ask(after, "both.example", *old)[1]) == 2  # the old one does not
    # What an old value says of one pool is not given out by another.
    assert [name for name, _ in values(ask(during, "two.example", old[1])[1])] == ["id"]
    assert ask(during, "one.example", ("variant", old[0][1])) == ask(during, "one.example")


def test_the_key_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first = read_keys(path)
    assert (len(first.values), first.notes, read_keys(path)) == (1, (), first)
    path.write_bytes(NEW + b"\n\n" + OLD + b"\r\n" + NEW + b"\n")
    assert read_keys(path).values == (NEW, OLD)
    path.chmod(0o644)
    assert "chmod 600" in read_keys(path).notes[0]
    path.write_bytes(NEW + b"\nshort\n")
    with pytest.raises(Unreadable, match="keys:2: a key has at least 16 bytes"):
        read_keys(path)
    path.write_bytes(b"\n \n")
    with pytest.raises(Unreadable, match="holds no key"):
        read_keys(path)
    path.write_bytes(b"".join(b"%032d\n" % number for number in range(17)))
    with pytest.raises(Unreadable, match="at most 16"):
        read_keys(path)


def alike(backends: dict[str, Backend]) -> dict[str, object]:
    """Two pools on the same two servers, under one cookie name."""
    pool = {"servers": [{"url": backend.url} for backend in backends.values()], "sticky": {"cookie": {"name": "id"}}}
    return {
        "routes": [{"name": name, "hosts": [f"{name}.example"], "to": name} for name in ("a", "b")],
        "services": {"a": pool, "b": pool},
    }


def test_on_sockets(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(5):
            first = await stage.get()
            cookie = f"Cookie: id={stage.cookie(first, 'id')}"
            assert (await stage.get("/", cookie)).all("set-cookie") == []
            elsewhere = await stage.get("/", cookie, host="b.example")
            assert stage.cookie(elsewhere, "id") not in ("", stage.cookie(first, "id"))

    play(scenario, server("s1"), server("s2"), document=alike)
