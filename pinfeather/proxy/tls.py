"""How TLS is ended: which certificate a client is shown, and on which terms, by the server name of its hello.

A snapshot of the certificates' files and of the document's TLS options, replaced as a whole. Terms are TLS 1.2 at least;
what OpenSSL cannot be told through Python's `ssl` is refused rather than left out, so that nobody is let in on other terms
than the document's. HTTP/2 is not spoken: `http/1.1` is the only protocol that HTTP is offered as.
"""

import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pinfeather.model.document import Document, EntryPoint, TlsOptions
from pinfeather.model.noun import external
from pinfeather.proxy.certificates import BadCertificate, Certificate, choose

Use = Literal["http", "tcp"]

DEFAULT = "default"
"""The options of routes that name none."""

# What a client is told before its connection is closed (RFC 8446, 6.2): a fatal alert in a record of its own.
_ALERTS = {"handshake_failure": 40, "internal_error": 80, "unrecognized_name": 112, "no_application_protocol": 120}

_VERSIONS = {
    "VersionTLS10": ssl.TLSVersion.TLSv1,
    "VersionTLS11": ssl.TLSVersion.TLSv1_1,
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}
_LEAST = ssl.TLSVersion.TLSv1_2
# Go's names (1.25, crypto/tls) for suites of TLS 1.2 that OpenSSL has. Those of TLS 1.3 cannot be chosen, there as here.
_SUITES = {
    f"TLS_{go}": openssl
    for go, openssl in (
        ("RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
        ("RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"),
        ("RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"),
        ("RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        *(
            (f"ECDHE_{key}_WITH_{go}", f"ECDHE-{key}-{openssl}")
            for key in ("RSA", "ECDSA")
            for go, openssl in (
                ("AES_128_CBC_SHA", "AES128-SHA"),
                ("AES_256_CBC_SHA", "AES256-SHA"),
                ("AES_128_CBC_SHA256", "AES128-SHA256"),
                ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
                ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
                ("CHACHA20_POLY1305", "CHACHA20-POLY1305"),
                ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
            )
        ),
    )
}
_CURVES = {"X25519": "X25519", "CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1"}
_CLIENTS = {"NoClientCert": ssl.CERT_NONE, "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL, "RequireAndVerifyClientCert": ssl.CERT_REQUIRED}


class _Unfit(Exception):  # noqa: N818 - says what the options are
    """Options that cannot be kept to; the text says why."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no TLS is spoken with a client, and what it is sent."""

    why: str
    alert: bytes

    @classmethod
    def of(cls, why: str, alert: str) -> "Refusal":
        return cls(why, b"\x15\x03\x03\x00\x02\x02" + bytes((_ALERTS[alert],)))


BROKEN_HELLO = Refusal.of("a broken TLS hello", "handshake_failure")
_NOTHING = Refusal.of("TLS without a certificate", "internal_error")
_NO_NAME = Refusal.of("no certificate for the server name", "unrecognized_name")
_NO_PROTOCOL = Refusal.of("no protocol that is spoken here", "no_application_protocol")


@dataclass(frozen=True, slots=True)
class _Terms:
    """Options made ready."""

    options: TlsOptions
    contexts: Mapping[Use, tuple[ssl.SSLContext, ...]]  # one a certificate
    protocols: Mapping[Use, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class TlsTerms:
    """Never changed: another file or another document makes another one."""

    certificates: tuple[Certificate, ...]
    options: Mapping[str, TlsOptions]
    unfit: Mapping[str, str]
    """Options -> why nobody is served on their terms."""
    authorities: Mapping[str, bytes] = field(repr=False)  # files that vouch for clients, as they were
    _terms: Mapping[str, _Terms] = field(repr=False)

    @classmethod
    def of(cls, pairs: Sequence[tuple[Path, Path]], document: Document, before: "TlsTerms | None" = None) -> "TlsTerms":
        """From the files and a document; `before` itself where nothing differs. Raises BadCertificate."""
        certificates = tuple(Certificate.read(chain, key) for chain, key in pairs)
        options = {DEFAULT: TlsOptions(), **document.tls_options}
        authorities = {str(file): _content(str(file)) for value in options.values() for file in value.client_auth_ca_files}
        if before is not None and (before.certificates, before.options, before.authorities) == (certificates, options, authorities):
            return before
        terms: dict[str, _Terms] = {}
        unfit: dict[str, str] = {}
        for name, value in options.items():
            try:
                terms[name] = _terms(value, certificates, authorities)
            except _Unfit as error:
                unfit[name] = str(error)
        return cls(certificates, options, unfit, authorities, terms)

    def context(self, name: str, use: Use, sni: str | None, alpn: Sequence[str]) -> ssl.SSLContext | Refusal:
        """How TLS is spoken with a client, on the terms of the options `name`."""
        if not self.certificates:
            return _NOTHING
        terms = self._terms.get(name)
        if terms is None:
            return Refusal.of(f"the TLS options {name!r} cannot be kept to", "internal_error")
        chosen = choose(self.certificates, sni)
        if chosen is None and terms.options.sni_strict:
            return _NO_NAME
        spoken = terms.protocols[use]
        if spoken and alpn and not set(spoken) & set(alpn):
            return _NO_PROTOCOL
        contexts = terms.contexts.get(use)
        return contexts[chosen or 0] if contexts else _NO_PROTOCOL

    def why_not(self, name: str) -> str | None:
        """Why nobody is served on the terms of these options; None where they can be kept to."""
        if external(name):
            return f"the TLS options {name!r} belong to another provider"
        return f"the TLS options {name!r}: {self.unfit[name]}" if name in self.unfit else None


def _terms(options: TlsOptions, certificates: Iterable[Certificate], authorities: Mapping[str, bytes]) -> _Terms:
    protocols: dict[Use, tuple[str, ...]] = {"http": ("http/1.1",), "tcp": tuple(map(str, options.alpn_protocols))}
    spoken = not options.alpn_protocols or "http/1.1" in options.alpn_protocols
    _context(options, authorities)  # without a certificate too: what is unfit is said
    return _Terms(
        options,
        {
            use: tuple(_shown(_context(options, authorities), certificate, protocols[use]) for certificate in certificates)
            for use in protocols
            if use == "tcp" or spoken
        },
        protocols,
    )


def _shown(context: ssl.SSLContext, certificate: Certificate, protocols: Sequence[str]) -> ssl.SSLContext:
    certificate.load(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def _context(options: TlsOptions, authorities: Mapping[str, bytes]) -> ssl.SSLContext:
    """Raises _Unfit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_SINGLE_ECDH_USE
    least = _version(options.min_version) or _LEAST
    most = _version(options.max_version) or ssl.TLSVersion.TLSv1_3
    if most < max(least, _LEAST):
        raise _Unfit("no version of TLS is left: 1.2 is the least that is spoken here")
    context.minimum_version, context.maximum_version = max(least, _LEAST), most
    _suites(context, options.cipher_suites)
    _curves(context, options.curve_preferences)
    _clients(context, options, authorities)
    return context


def _version(name: str | None) -> ssl.TLSVersion | None:
    if name is None:
        return None
    if name not in _VERSIONS:
        raise _Unfit(f"{name!r} is no version of TLS: {', '.join(_VERSIONS)}")
    return _VERSIONS[name]


def _suites(context: ssl.SSLContext, names: Sequence[str]) -> None:
    if not names:
        return
    known = [_SUITES[name] for name in names if name in _SUITES]
    if not known and context.maximum_version < ssl.TLSVersion.TLSv1_3:
        raise _Unfit(f"none of the cipher suites is known to OpenSSL: {', '.join(names)}")
    if not known:
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # no suite of TLS 1.2 is allowed
        return
    try:
        context.set_ciphers(":".join(known))
    except ssl.SSLError as error:
        raise _Unfit(f"OpenSSL does not take the cipher suites {', '.join(names)}") from error


def _curves(context: ssl.SSLContext, names: Sequence[str]) -> None:
    if not names:
        return
    if len(names) > 1:
        raise _Unfit("several curve_preferences: Python's ssl can be told one curve, or none")
    if names[0] not in _CURVES:
        raise _Unfit(f"the curve {names[0]!r} is not known: {', '.join(_CURVES)}")
    try:
        context.set_ecdh_curve(_CURVES[names[0]])
    except (ValueError, ssl.SSLError) as error:
        raise _Unfit(f"OpenSSL does not take the curve {names[0]!r}") from error


def _clients(context: ssl.SSLContext, options: TlsOptions, authorities: Mapping[str, bytes]) -> None:
    """Whom the client has to be. Files alone ask for a certificate that they vouch for, as in Traefik (3.7, pkg/tls)."""
    files = options.client_auth_ca_files
    kind = options.client_auth_type or ("RequireAndVerifyClientCert" if files else "NoClientCert")
    if kind not in _CLIENTS:
        raise _Unfit(f"client_auth_type {kind!r}: a certificate that nobody vouches for is not taken; known are {', '.join(_CLIENTS)}")
    if kind == "NoClientCert":
        return
    if not files:
        raise _Unfit(f"client_auth_type {kind!r} needs client_auth_ca_files")
    for file in files:
        try:
            context.load_verify_locations(cadata=authorities[str(file)].decode("ascii"))
        except (ValueError, ssl.SSLError) as error:
            raise _Unfit(f"{file}: no certificate of an authority in it, or it cannot be read") from error
    context.verify_mode = _CLIENTS[kind]


def _content(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError:
        return b""


def tls_notes(document: Document, terms: TlsTerms) -> Iterator[str]:
    """What of a document's TLS is not served; to be said at the start."""
    routes = [(route.name, route.tls) for route in document.routes] + [(route.name, route.tls) for route in document.tcp_routes]
    secure = [name for name, tls in routes if tls is not None and tls.terminate and not tls.passthrough]
    secure += [f"entry point {name}" for name, point in document.entry_points.items() if isinstance(point, EntryPoint) and point.tls]
    if secure and not terms.certificates:
        yield f"TLS needs --certificate CHAIN.pem:KEY.pem; without one these are not served over it: {', '.join(secure)}"
    for name in dict.fromkeys([DEFAULT, *(str(tls.options) for _, tls in routes if tls is not None and tls.options)]):
        if (why := terms.why_not(name)) is not None:
            yield f"{why}: nobody is served on their terms"
    for name, tls in routes:
        if tls is not None and (tls.resolver or tls.domains or tls.secret):
            yield f"route {name!r}: no certificate is asked for (resolver, domains, secret): those of --certificate are shown"


__all__ = ["BROKEN_HELLO", "DEFAULT", "BadCertificate", "Refusal", "TlsTerms", "Use", "tls_notes"]
