"""TLS options: by server name and by route; what cannot be kept to lets nobody in."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from pinfeather.model.document import Document
from pinfeather.proxy.loading import Unreadable
from pinfeather.proxy.server import own_addresses
from pinfeather.proxy.tls import Refusal, TlsTerms
from tests.proxy.secure import Pair, ask, client, document, refusal, shown

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage


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
