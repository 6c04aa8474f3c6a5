"""The document's file, read and made ready. The only place of the proxy that opens it."""

import contextlib
import gc
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pinfeather.model.document import Document
from pinfeather.proxy.cookies import Seal
from pinfeather.proxy.resources import Resources
from pinfeather.proxy.serving import Serving

Load = Callable[[str, str], Document]
"""From the name and the text of a file to its document. Raises Unreadable."""

_LARGEST = 64 * 1024 * 1024  # bytes
_TURN = 0.0005  # seconds that the loop waits for its turn while a document is made ready
_USUAL_TURN = sys.getswitchinterval()


class Unreadable(Exception):  # noqa: N818 - says what the document is
    """The document cannot be served; the text says why, with file and line where there is one."""


def read_document(path: Path) -> bytes:
    """The bytes of a document's file. Raises Unreadable."""
    try:
        if path.stat().st_size > _LARGEST:
            raise Unreadable(f"{path}: larger than {_LARGEST // 2**20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from error


def revision(data: bytes) -> str:
    """By what a document's bytes are told from others."""
    return hashlib.sha256(data).hexdigest()


def load_serving(path: Path, data: bytes, load: Load, seal: Seal, resources: Resources | None = None) -> Serving:
    """Validate and prepare what was read from `path`. Raises Unreadable and nothing else for whatever the bytes are."""
    try:
        with _beside_requests():
            return Serving.of(load(str(path), data.decode("utf-8")), seal, revision(data), resources)
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: not UTF-8 at byte {error.start}") from error
    except ValueError as error:
        raise Unreadable(f"{path}: {error}") from error


def let_go(box: list[Serving]) -> None:
    """Free a document that is served no more, piece by piece, for the same reason: at once it would take the loop a while."""
    serving = box.pop()
    pieces: list[object] = [*serving.document.routes, *serving.document.services.values()]
    pieces += [*serving.table.nodes.values(), *serving.table.order]
    del serving
    while pieces:
        pieces.pop()


@contextlib.contextmanager
def _beside_requests() -> Iterator[None]:
    """What is done here is done on a thread while the event loop goes on: the loop gets its turn often, and no collection of
    garbage stops both. Nothing of a document stands in a circle, so none is missed; what was built is not looked at again.
    """
    collecting = gc.isenabled()
    sys.setswitchinterval(_TURN)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
        sys.setswitchinterval(_USUAL_TURN)


def load_canonical(name: str, text: str) -> Document:
    """Read a canonical document. Raises Unreadable with the findings, one a line, each with its place."""
    from pinfeather import _render
    from pinfeather.model.diagnostics import Report
    from pinfeather.translators.canonical import TRANSLATOR
    from pinfeather.translators.contract import File, Source

    parsed = TRANSLATOR.parse(Source((File(name, text),)), TRANSLATOR.options())
    report = Report.of(parsed.diagnostics)
    if parsed.document is None or report.errors:
        raise Unreadable(_render.text(report).rstrip() or f"{name}: it holds no document")
    return parsed.document
