"""Certificates and their keys: files in PEM, and the names that a certificate is for.

Python's `ssl` does not say for which names a certificate is that it serves, so that the little of DER that it takes to see
them is read here (X.690; RFC 5280, 4.1 and 4.2.1.6). Nothing is verified: OpenSSL does that when it loads the files.
"""

import binascii
import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_SEQUENCE, _SET, _OID, _OCTETS = 0x30, 0x31, 0x06, 0x04
_EXTENSIONS, _DNS_NAME = 0xA3, 0x82  # [3] of a certificate; [2] of a GeneralName
_ALTERNATIVE_NAMES = bytes((0x55, 0x1D, 0x11))  # 2.5.29.17
_COMMON_NAME = bytes((0x55, 0x04, 0x03))  # 2.5.4.3
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s+(.+?)\s+-----END CERTIFICATE-----", re.DOTALL)
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_NOT_ITS_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")  # the last: a key of another kind
_LARGEST = 1024 * 1024  # bytes of one file


class BadCertificate(Exception):  # noqa: N818 - says what it is
    """A file of a certificate or of its key cannot be used; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain with its key, as they stood in their files."""

    chain: Path
    key: Path
    names: tuple[str, ...]
    """In lower case; `*.` before the rest of a name stands for one label."""
    content: tuple[bytes, bytes]
    """Of both files, by which a change is seen."""

    @classmethod
    def read(cls, chain: Path, key: Path) -> "Certificate":
        """Raises BadCertificate."""
        content = _bytes(chain), _bytes(key)
        found = _PEM.search(content[0].decode("latin-1"))
        if found is None:
            raise BadCertificate(f"{chain}: no certificate in it; PEM is read, the server's own certificate first")
        try:
            names = certificate_names(binascii.a2b_base64("".join(found[1].split()), strict_mode=True))
        except (ValueError, binascii.Error) as error:
            raise BadCertificate(f"{chain}: its first certificate cannot be read") from error
        certificate = cls(chain, key, names, content)
        certificate.load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        return certificate

    def load(self, context: ssl.SSLContext) -> None:
        """Have a context show it. Raises BadCertificate, also where the files are not any more what was read."""

        def no_password() -> str:
            raise BadCertificate(f"{self.key}: it is encrypted, and nobody is there to be asked for its password")

        try:
            context.load_cert_chain(self.chain, self.key, password=no_password)
        except ssl.SSLError as error:
            raise BadCertificate(f"{self.chain}, {self.key}: {_reason(error)}") from error
        except OSError as error:
            raise BadCertificate(f"{self.key}: {error.strerror or error}") from error
        if (_bytes(self.chain), _bytes(self.key)) != self.content:
            raise BadCertificate(f"{self.chain}, {self.key}: they change while they are read")

    def serves(self, name: str) -> bool:
        """Whether it is for a name (in lower case)."""
        _, dot, parent = name.partition(".")
        return name in self.names or (bool(dot) and f"*.{parent}" in self.names)


def choose(certificates: Sequence[Certificate], name: str | None) -> int | None:
    """Which certificate is for a name, the exact one before a wildcard; None: no one is."""
    if name is None:
        return None
    exact = next((index for index, one in enumerate(certificates) if name in one.names), None)
    return exact if exact is not None else next((index for index, one in enumerate(certificates) if one.serves(name)), None)


def certificate_names(der: bytes) -> tuple[str, ...]:
    """The host names of a certificate: its alternative names, and the subject's common name if it looks like a host, as in
    Traefik (3.7, pkg/tls/certificate.go). Raises ValueError for what is no certificate.
    """
    ((tag, certificate),) = _values(der)
    fields = list(_values(_first(certificate)))
    plain = [body for kind, body in fields if kind == _SEQUENCE]  # signature, issuer, validity, subject, key
    if tag != _SEQUENCE or len(plain) < 5:
        raise ValueError("no certificate")
    names = [name for kind, body in fields if kind == _EXTENSIONS for name in _alternative_names(body)]
    names += _common_names(plain[3])
    return tuple(dict.fromkeys(name for name in (text.lower() for text in names) if _HOST.fullmatch(name)))


def _alternative_names(extensions: bytes) -> Iterator[str]:
    for _, extension in _values(_first(extensions)):
        parts = list(_values(extension))
        if parts[:1] == [(_OID, _ALTERNATIVE_NAMES)] and parts[-1][0] == _OCTETS:
            for kind, name in _values(_first(parts[-1][1])):
                if kind == _DNS_NAME:
                    yield name.decode("latin-1")


def _common_names(subject: bytes) -> Iterator[str]:
    for kind, relative in _values(subject):
        for _, attribute in _values(relative) if kind == _SET else ():
            parts = list(_values(attribute))
            if len(parts) == 2 and parts[0] == (_OID, _COMMON_NAME):
                yield parts[1][1].decode("latin-1")


def _first(der: bytes) -> bytes:
    """The content of the first value. Raises ValueError."""
    for _, content in _values(der):
        return content
    raise ValueError("nothing in it")


def _values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Each value's tag and content. Raises ValueError."""
    at = 0
    while at < len(der):
        if len(der) - at < 2:
            raise ValueError("cut off")
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            width = length & 0x7F
            if not 0 < width <= 4 or len(der) - at < width:
                raise ValueError("a length that is none")
            length = int.from_bytes(der[at : at + width], "big")
            at += width
        if len(der) - at < length:
            raise ValueError("cut off")
        yield tag, der[at : at + length]
        at += length


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise BadCertificate(f"{path}: larger than {_LARGEST // 2**20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise BadCertificate(f"{path}: {error.strerror or error}") from error


def _reason(error: ssl.SSLError) -> str:
    if error.reason in _NOT_ITS_KEY:
        return "the key is not the certificate's"
    return f"OpenSSL does not take them ({error.reason or error})"
