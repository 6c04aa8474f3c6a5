"""TLS at the proxy: certificates by server name, reload of files, and what HTTP is told."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy.certificates import BadCertificate, Certificate, certificate_names, choose
from pinfeather.proxy.loading import Unreadable
from tests.proxy.secure import QUICK, Pair, ask, client, document, refusal, secure, shown

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage


# Certificates -----------------------------------------------------------------------------------------------------------


def test_the_names_of_a_certificate(made: dict[str, Pair]) -> None:
    assert Certificate.read(*made["first"]).names == ("first.example", "*.wild.example", "first")
    assert Certificate.read(*made["bare"]).names == ("bare.example",)


def test_the_names_of_what_is_no_certificate(made: dict[str, Pair]) -> None:
    der = ssl.PEM_cert_to_DER_cert(made["first"][0].read_text())
    assert certificate_names(der)
    for end in range(len(der)):
        with pytest.raises(ValueError, match=r"cut off|nothing in it|unpack|a length"):
            certificate_names(der[:end])
    for at in range(len(der)):  # any byte may be another one: names or a ValueError, and nothing else
        with contextlib.suppress(ValueError):
            certificate_names(der[:at] + bytes((der[at] ^ 0x81,)) + der[at + 1 :])


def test_the_certificate_for_a_name(made: dict[str, Pair]) -> None:
    pairs = [Certificate.read(*made[name]) for name in ("first", "second")]
    names = ["first.example", "x.wild.example", "exact.wild.example", "x.y.wild.example", "wild.example", "second.example", "no", None]
    assert [choose(pairs, name) for name in names] == [0, 0, 1, None, None, 1, None, None]


def test_bad_files_are_named(made: dict[str, Pair], tmp_path: Path) -> None:
    first, second, empty = made["first"], made["second"], tmp_path / "empty"
    empty.write_text("")
    cut = tmp_path / "cut.pem"
    cut.write_text(first[0].read_text()[:200] + "\n-----END CERTIFICATE-----\n")
    for chain, key, said in [
        (tmp_path / "none.pem", first[1], "none.pem: No such file"),
        (first[0], tmp_path / "none.key", "none.key: No such file"),
        (tmp_path, first[1], "Is a directory"),
        (empty, first[1], "no certificate in it"),
        (first[1], first[1], "no certificate in it"),
        (cut, first[1], "cannot be read"),
        (first[0], empty, "OpenSSL does not take them"),
        (first[0], second[1], "the key is not the certificate's"),
        (first[0], made["bare"][1], "the key is not the certificate's"),
    ]:
        with pytest.raises(BadCertificate, match=said):
            Certificate.read(chain, key)


def test_a_client_is_shown_the_certificate_for_its_name(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        for sni, name in [
            ("first.example", "first"),
            ("FIRST.example", "first"),
            ("x.wild.example", "first"),
            ("exact.wild.example", "second"),
            ("second.example", "second"),
            ("x.y.wild.example", "first"),
            (None, "first"),
        ]:
            assert await shown(stage, sni, made) == name, sni

    play(scenario, server("one"), document=document(), certificates=[made["first"], made["second"]])


def test_changed_files_are_shown_and_broken_ones_are_not(play: Play, server: type[Backend], made: dict[str, Pair], tmp_path: Path) -> None:
    chain, key = tmp_path / "now.pem", tmp_path / "now.key"

    def put(certificate: Pair, with_key: Pair | None = None) -> None:
        for source, target in ((certificate[0], chain), ((with_key or certificate)[1], key)):
            aside = target.with_suffix(".new")
            shutil.copy(source, aside)
            aside.replace(target)

    async def scenario(stage: Stage) -> None:
        assert await shown(stage, "x", made) == "first"
        async with secure(stage, "a.example") as (reader, writer):
            put(made["bare"], made["second"])
            await stage.until(lambda: any("the key is not the certificate's" in line for line in stage.said))
            assert "not reloaded" in stage.said[-1]
            assert stage.proxy.reload_error is not None
            assert await shown(stage, "x", made) == "first"
            put(made["second"])
            await stage.until(lambda: any("certificates were changed" in line for line in stage.said))
            assert not stage.proxy.reload_error
            assert await shown(stage, "x", made) == "second"
            writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")  # a connection from before goes on
            assert (await stage.read(reader)).status == 200
        stage.write({**json.loads(stage.path.read_text()), "tls_options": {"new": {"min_version": "VersionTLS13"}}})
        await stage.until(lambda: any("reloaded: " in line for line in stage.said))
        assert await shown(stage, "x", made) == "second"

    put(made["first"])
    play(scenario, server("one"), document=document(), certificates=[(chain, key)])


def test_a_bad_certificate_at_the_start(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(_: Stage) -> None:
        """It does not come to that."""

    with pytest.raises(Unreadable, match="the key is not the certificate's"):
        play(scenario, server("one"), document=document(), certificates=[(made["first"][0], made["second"][1])])


# What TLS says to HTTP --------------------------------------------------------------------------------------------------


def test_a_request_over_tls_says_so(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        assert (await ask(stage, "a.example", "a.example")).status == 200
        seen = stage.backends["one"].seen[-1]
        assert seen.all("x-forwarded-proto") == ["https"]
        assert seen.all("x-forwarded-port") == ["443"]
        assert (await stage.get("/")).status == 404  # its route speaks TLS
        assert (await ask(stage, "any.example", "any.example")).status == 404
        assert (await ask(stage, "b.example", "b.example", "/redirect")).status == 200
        moved = await stage.get("/redirect", host="b.example")
        assert (moved.status, moved.one("location")) == (302, "https://b.example/redirect")

    more = {"name": "b", "hosts": ["b.example"], "to": "s", "middlewares": ["secure"]}

    def both(backends: dict[str, Backend]) -> dict[str, object]:
        return {**document(None, more)(backends), "middlewares": {"secure": {"redirect_scheme": {"scheme": "https"}}}}

    play(scenario, server("one"), document=both, certificates=[made["first"]])


def test_an_entry_point_of_tls_alone(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        assert (await ask(stage, "a.example", "a.example")).status == 200
        plain = await stage.get("/")
        assert (plain.status, plain.body) == (404, b"404 page not found\n")

    def made_so(backends: dict[str, Backend]) -> dict[str, object]:
        found = document()(backends)
        found["entry_points"] = {"web": {"port": 443, "tls": True}}
        found["routes"] = [{"name": "r", "hosts": ["a.example"], "to": "s"}]
        return found

    play(scenario, server("one"), document=made_so, certificates=[made["first"]])


def test_connections_are_kept_and_bodies_go_both_ways(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        body = os.urandom(3_000_000)
        async with secure(stage, "a.example") as (reader, writer):
            for _ in range(3):
                writer.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                answer = await stage.read(reader)
                assert (answer.status, answer.body) == (200, body)
            writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
            assert (await stage.read(reader)).status == 400
            assert await reader.read() == b""

    async def echo(turn: object) -> None:
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(turn.request.body) + turn.request.body)  # type: ignore[attr-defined]

    play(scenario, server("one", script=echo), document=document(), certificates=[made["first"]], settings=QUICK)


def test_a_websocket_over_tls(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def switch(turn: object) -> None:
        writer, reader = turn.writer, turn.reader  # type: ignore[attr-defined]
        writer.write(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while data := await reader.read(100):
            writer.write(data.upper())

    async def scenario(stage: Stage) -> None:
        async with secure(stage, "a.example") as (reader, writer):
            fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
            writer.write(f"GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n\r\n".encode())
            assert (await stage.read(reader)).status == 101
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"HELLO"

    play(scenario, server("one", script=switch), document=document(), certificates=[made["first"]])


def test_http_2_is_refused_with_the_reason(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        async with secure(stage, "a.example", client(["h2", "http/1.1"])) as (_, writer):
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        async with secure(stage, "a.example") as (_, writer):
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() is None
        assert "no application protocol" in await refusal(stage, "a.example", client(["h2"]))

    play(scenario, server("one"), document=document(), certificates=[made["first"]])
