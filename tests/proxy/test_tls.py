"""TLS at the proxy: certificates by server name, options, what is refused, reload of files, and clients that dawdle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinfeather.model.document import Document
from pinfeather.proxy.certificates import BadCertificate, Certificate, certificate_names, choose
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.loading import Unreadable
from pinfeather.proxy.server import own_addresses
from pinfeather.proxy.tls import Refusal, TlsTerms
from tests.parts import certificates

if TYPE_CHECKING:
    from conftest import Backend, Message, Play, Stage

Pair = tuple[Path, Path]
Documents = Callable[[dict[str, "Backend"]], dict[str, object]]
QUICK = Settings(tick=0.05, watch=0.05, head=1.0, drain=1.0, linger=0.3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    folder = tmp_path_factory.mktemp("certificates")
    return {
        "first": certificates.make(folder, "first", "First.example", "*.Wild.example"),
        "second": certificates.make(folder, "second", "second.example", "exact.wild.example", rsa=True),
        "bare": certificates.make(folder, "bare.example"),
        "client": certificates.make(folder, "client"),
        "stranger": certificates.make(folder, "stranger"),
    }


def client(alpn: Sequence[str] = (), most: ssl.TLSVersion | None = None, own: Pair | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if most is not None:
        context.maximum_version = most
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if own is not None:
        context.load_cert_chain(*own)
    return context


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def secure(stage: Stage, sni: str | None, context: ssl.SSLContext | None = None, entry_point: str = "web") -> AsyncIterator[Streams]:
    """A client's TLS connection."""
    host, port = stage.proxy.addresses[entry_point]
    reader, writer = await asyncio.open_connection(host, port, ssl=context or client(), server_hostname=sni or "")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(stage: Stage, sni: str | None, host: str, path: str = "/", context: ssl.SSLContext | None = None) -> Message:
    async with secure(stage, sni, context) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return await stage.read(reader)


async def shown(stage: Stage, sni: str | None, pairs: dict[str, Pair]) -> str:
    """Which certificate a client is shown."""
    async with secure(stage, sni) as (_, writer):
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return next(name for name, (chain, _) in pairs.items() if ssl.PEM_cert_to_DER_cert(chain.read_text()) == der)


async def refusal(stage: Stage, sni: str | None, context: ssl.SSLContext | None = None) -> str:
    """Why no connection comes about, as the client's OpenSSL has it."""
    try:
        async with secure(stage, sni, context) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n")
            assert await reader.read(1) == b"", "it came about"
    except ssl.SSLError as error:
        return error.reason or str(error)
    except ConnectionError:
        pass
    return "closed"


async def raw(stage: Stage, data: bytes, *, end: bool = False) -> bytes:
    """What is answered until the connection ends."""
    async with stage.client() as (reader, writer):
        writer.write(data)
        if end:
            writer.write_eof()
        return await reader.read()


def document(options: Mapping[str, object] | None = None, *more: Mapping[str, object]) -> Documents:
    def make(backends: dict[str, Backend]) -> dict[str, object]:
        return {
            "entry_points": {"web": 443},
            "routes": [{"name": "r", "hosts": ["a.example"], "to": "s", "tls": {}}, *more],
            "services": {"s": {"servers": [{"url": backend.url} for backend in backends.values()]}},
            "tls_options": options or {},
        }

    return make


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


# Options ----------------------------------------------------------------------------------------------------------------

A, B, S, N = "a.example", "b.example", "s.example", "n.example"


def test_options_are_chosen_by_server_name_and_held_by_the_route(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    """As Traefik 3.7.15 does it; see `test_tls_beside_traefik.py`."""

    async def scenario(stage: Stage) -> None:
        for sni, host, path, status in [
            (A, A, "/", 200),
            (A, B, "/", 200),
            (None, A, "/", 200),
            (S, S, "/", 200),
            (S, A, "/", 421),
            (A, S, "/", 421),
            (None, S, "/", 421),
            ("x.example", S, "/", 421),
            (S, "x.example", "/", 404),
            (A, "x.example", "/guarded", 503),
        ]:
            assert (await ask(stage, sni, host, path)).status == status, (sni, host)
        old = client(most=ssl.TLSVersion.TLSv1_2)
        assert (await ask(stage, A, A, context=old)).status == 200
        await refusal(stage, S, old)  # asyncio closes without the alert that OpenSSL has made
        assert any("'guarded': the TLS options 'known' cannot be held, it names no host" in line for line in stage.said)

    routes: list[dict[str, object]] = [
        {"name": "b", "hosts": [B], "to": "s", "tls": {}},
        {"name": "strict", "hosts": [S], "to": "s", "tls": {"options": "strict"}},
        {"name": "guarded", "path": {"prefix": "/guarded"}, "to": "s", "tls": {"options": "known"}},
    ]
    options: dict[str, object] = {
        "strict": {"min_version": "VersionTLS13"},
        "known": {"client_auth_ca_files": [str(made["client"][0])]},
    }
    play(scenario, server("one"), document=document(options, *routes), certificates=[made["first"]])


def test_a_client_that_has_to_be_known(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        assert (await ask(stage, S, S, context=client(own=made["client"]))).status == 200
        for context in (client(), client(own=made["stranger"]), client(most=ssl.TLSVersion.TLSv1_2)):
            await refusal(stage, S, context)
        assert (await ask(stage, A, S)).status == 421
        assert (await ask(stage, A, S, context=client(own=made["client"]))).status == 421
        assert (await ask(stage, N, N)).status == 200
        assert (await ask(stage, N, N, context=client(own=made["client"]))).status == 200
        await refusal(stage, N, client(own=made["stranger"]))
        assert stage.backends["one"].seen[-1].all("host") == [N]

    routes: list[dict[str, object]] = [
        {"name": "known", "hosts": [S], "to": "s", "tls": {"options": "known"}},
        {"name": "perhaps", "hosts": [N], "to": "s", "tls": {"options": "perhaps"}},
    ]
    files = [str(made["client"][0])]
    options: dict[str, object] = {
        "known": {"client_auth_ca_files": files},
        "perhaps": {"client_auth_ca_files": files, "client_auth_type": "VerifyClientCertIfGiven"},
    }
    play(scenario, server("one"), document=document(options, *routes), certificates=[made["first"]])


def test_options_that_cannot_be_kept_to_let_nobody_in(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        for sni in (S, N):
            assert await refusal(stage, sni) == "TLSV1_ALERT_INTERNAL_ERROR"
            assert (await ask(stage, A, sni)).status == 421
        assert not stage.backends["one"].seen
        assert (await ask(stage, A, A)).status == 200
        assert any("the TLS options 'odd': several curve_preferences" in line for line in stage.said)
        assert any("the TLS options 'x@file' belong to another provider" in line for line in stage.said)

    routes: list[dict[str, object]] = [
        {"name": "odd", "hosts": [S], "to": "s", "tls": {"options": "odd"}},
        {"name": "other", "hosts": [N], "to": "s", "tls": {"options": "x@file"}},
    ]
    odd: dict[str, object] = {"odd": {"curve_preferences": ["X25519", "CurveP256"]}}
    play(scenario, server("one"), document=document(odd, *routes), certificates=[made["first"]])


def test_strict_names(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        assert await shown(stage, "first.example", made) == "first"
        for sni in ("other.example", None):
            assert "UNRECOGNIZED_NAME" in await refusal(stage, sni)

    play(scenario, server("one"), document=document({"default": {"sni_strict": True}}), certificates=[made["first"]])


UNFIT: dict[str, tuple[dict[str, object], str]] = {
    "old": ({"max_version": "VersionTLS11"}, "no version of TLS is left"),
    "none left": ({"min_version": "VersionTLS13", "max_version": "VersionTLS12"}, "no version of TLS is left"),
    "no version": ({"min_version": "1.2"}, "no version of TLS: VersionTLS10"),
    "suites": ({"cipher_suites": ["TLS_X"], "max_version": "VersionTLS12"}, "none of the cipher suites"),
    "curves": ({"curve_preferences": ["X25519", "CurveP256"]}, "several curve_preferences"),
    "a curve": ({"curve_preferences": ["X25519MLKEM768"]}, "is not known"),
    "anybody": ({"client_auth_type": "RequireAnyClientCert"}, "nobody vouches for"),
    "no files": ({"client_auth_type": "RequireAndVerifyClientCert"}, "needs client_auth_ca_files"),
    "no authority": ({"client_auth_ca_files": ["/no/such/file"]}, "no certificate of an authority"),
}


@pytest.mark.parametrize(("options", "why"), UNFIT.values(), ids=UNFIT)
def test_unfit_options_say_why(made: dict[str, Pair], options: dict[str, object], why: str) -> None:
    terms = TlsTerms.of([made["first"]], Document.model_validate({"tls_options": {"x": options}}))
    assert why in (terms.why_not("x") or "")
    assert isinstance(terms.context("x", "http", None, ()), Refusal)
    assert isinstance(terms.context("x", "tcp", None, ()), Refusal)


def test_options_are_told_to_openssl(made: dict[str, Pair]) -> None:
    options = {
        "versions": {"min_version": "VersionTLS10", "max_version": "VersionTLS12"},
        "suites": {"cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_X"]},
        "thirteen": {"cipher_suites": ["TLS_AES_128_GCM_SHA256"]},
        "curve": {"curve_preferences": ["CurveP384"]},
        "h2": {"alpn_protocols": ["h2"]},
    }
    document = Document.model_validate({"tls_options": options})
    terms = TlsTerms.of([made["first"]], document)

    def of(name: str) -> ssl.SSLContext:
        found = terms.context(name, "http", None, ())
        assert isinstance(found, ssl.SSLContext)
        return found

    assert of("default").minimum_version is ssl.TLSVersion.TLSv1_2
    assert (of("versions").minimum_version, of("versions").maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    assert [each["name"] for each in of("suites").get_ciphers() if each["protocol"] == "TLSv1.2"] == ["ECDHE-ECDSA-AES256-GCM-SHA384"]
    assert of("thirteen").minimum_version is ssl.TLSVersion.TLSv1_3
    assert isinstance(terms.context("h2", "http", None, ()), Refusal)
    assert isinstance(terms.context("h2", "tcp", None, ("h2",)), ssl.SSLContext)
    assert isinstance(terms.context("h2", "tcp", None, ("http/1.1",)), Refusal)
    assert TlsTerms.of([made["first"]], document, terms) is terms
    assert TlsTerms.of([made["second"]], document, terms) is not terms


def test_without_a_certificate(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        assert any("TLS needs --certificate" in line and "r" in line for line in stage.said)
        assert await refusal(stage, A) == "TLSV1_ALERT_INTERNAL_ERROR"
        assert (await stage.get("/", host=B)).status == 200

    play(scenario, server("one"), document=document(None, {"name": "plain", "hosts": [B], "to": "s"}))


def test_the_entry_points_of_a_document() -> None:
    found = Document.model_validate({"entry_points": {"web": 80, "safe": {"port": 443, "tls": True}}})
    assert set(own_addresses(found, tls=True)) == {"web", "safe"}
    assert set(own_addresses(found, tls=False)) == {"web"}
    with pytest.raises(Unreadable, match="--certificate"):
        own_addresses(Document.model_validate({"entry_points": {"safe": {"port": 443, "tls": True}}}), tls=False)


# Clients that do something else -------------------------------------------------------------------------------------------


def hello(sni: str) -> bytes:
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client().wrap_bio(ssl.MemoryBIO(), out, server_hostname=sni).do_handshake()
    return out.read()


def test_broken_hellos_are_closed_and_others_served(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        whole = hello(A)
        alert = b"\x15\x03\x03\x00\x02\x02\x28"
        assert await raw(stage, b"\x16\x03\x01\x00\x05hello") == alert
        assert await raw(stage, b"\x16" + bytes(100)) == alert
        assert await raw(stage, whole[:100], end=True) == b""
        assert await raw(stage, b"", end=True) == b""
        assert await raw(stage, whole[:100]) == b""  # cut off by the deadline
        assert (await raw(stage, whole + b"\x17\x03\x03\x00\x05hello"))[:1] in (b"", b"\x16")  # OpenSSL's affair
        assert (await raw(stage, b"\x80\x2e\x01\x00\x02" + bytes(100)))[:10] == b"HTTP/1.1 4"
        assert (await ask(stage, A, A)).status == 200
        await stage.until(lambda: not stage.proxy.edge.connections)

    play(scenario, server("one"), document=document(), certificates=[made["first"]], settings=QUICK)


def test_a_hello_in_pieces(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        whole = hello(A)
        async with stage.client() as (reader, writer):
            for at in range(0, len(whole), 60):
                writer.write(whole[at : at + 60])
                await writer.drain()
                await asyncio.sleep(0.01)
            assert (await reader.readexactly(1)) == b"\x16"

    play(scenario, server("one"), document=document(), certificates=[made["first"]], settings=QUICK)


CLIENTS = 150


@pytest.mark.parametrize("sent", ["a hello", "nothing after the hello", "nothing"])
def test_those_who_dawdle_are_cut_off_and_others_served(play: Play, server: type[Backend], made: dict[str, Pair], sent: str) -> None:
    async def scenario(stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        whole = hello(A)
        ends: list[float] = []

        async def dawdle() -> None:
            began = loop.time()
            async with stage.client() as (reader, writer):
                reading = asyncio.create_task(reader.read())
                if sent == "nothing after the hello":
                    writer.write(whole)
                elif sent == "a hello":
                    for byte in whole:
                        writer.write(bytes((byte,)))
                        await asyncio.wait([reading], timeout=0.1)
                        if reading.done():
                            break
                with contextlib.suppress(ConnectionError):
                    await reading
            ends.append(loop.time() - began)

        tasks = [asyncio.create_task(dawdle()) for _ in range(CLIENTS)]
        await stage.until(lambda: len(stage.proxy.edge.connections) == CLIENTS)
        for _ in range(5):
            began = loop.time()
            assert (await ask(stage, A, A)).status == 200
            assert loop.time() - began < 1.0
        await asyncio.gather(*tasks)
        assert min(ends) > 0.9 * QUICK.head
        assert max(ends) < 4 * QUICK.head
        assert not stage.proxy.edge.connections

    play(scenario, server("one"), document=document(), certificates=[made["first"]], settings=QUICK)


def test_waiting_for_a_hello_takes_no_time_of_the_processor(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        async with contextlib.AsyncExitStack() as kept:
            for _ in range(20):
                _, writer = await kept.enter_async_context(stage.client())
                writer.write(hello(A)[:200])
            await stage.until(lambda: len(stage.proxy.edge.connections) == 20)
            used = sum(os.times()[:2])
            await asyncio.sleep(0.5)
            assert sum(os.times()[:2]) - used < 0.2

    play(scenario, server("one"), document=document(), certificates=[made["first"]])


def test_limits_hold_for_connections_that_say_nothing(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        async with contextlib.AsyncExitStack() as kept:
            for _ in range(5):
                await kept.enter_async_context(stage.client())
            await stage.until(lambda: len(stage.proxy.edge.connections) == 5)
            assert await raw(stage, b"") == b""
        await stage.until(lambda: not stage.proxy.edge.connections)
        assert (await ask(stage, A, A)).status == 200

    settings = Settings(tick=0.05, connections_per_address=5)
    play(scenario, server("one"), document=document(), certificates=[made["first"]], settings=settings)


def test_at_the_end_handshakes_are_not_waited_for(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(hello(A)[:50])
            await stage.until(lambda: len(stage.proxy.edge.connections) == 1)
            began = asyncio.get_running_loop().time()
            await stage.proxy.close()
            assert asyncio.get_running_loop().time() - began < 1.0
            assert await reader.read() == b""

    play(scenario, server("one"), document=document(), certificates=[made["first"]])
