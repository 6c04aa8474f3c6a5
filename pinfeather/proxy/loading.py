"""The document's file, read and made ready. The only place of the proxy that opens it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from pinfeather.model.document import Document
from pinfeather.proxy.cookies import Seal
from pinfeather.proxy.resources import Resources
from pinfeather.proxy.serving import Serving

Load = Callable[[str, str], Document]
"""From the name and the text of a file to its document. Raises Unreadable."""

_LARGEST = 64 * 1024 * 1024  # bytes


class Unreadable(Exception):  # noqa: N818 - says what the document is
    """The document cannot be served; the text says why, with file and line where there is one."""


def load_serving(path: Path, load: Load, seal: Seal, resources: Resources | None = None) -> Serving:
    """Read, validate and prepare a document. Raises Unreadable and nothing else for whatever the file holds."""
    try:
        if path.stat().st_size > _LARGEST:
            raise Unreadable(f"{path}: larger than {_LARGEST // 2**20} MiB")
        data = path.read_bytes()
        return Serving.of(load(str(path), data.decode("utf-8")), seal, hashlib.sha256(data).hexdigest(), resources)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: not UTF-8 at byte {error.start}") from error
    except ValueError as error:
        raise Unreadable(f"{path}: {error}") from error


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
