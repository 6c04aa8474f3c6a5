"""The reference proxy: a canonical document, served over HTTP/1.1 by the model's own decision core.

`serve` runs it until SIGTERM. `python -m pinfeather.proxy --help` says the same for the command line.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["serve"]


def _to_stderr(line: str) -> None:
    import sys

    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def serve(
    document_path: str | Path,
    *,
    listen: Mapping[str, tuple[str, int]] | None = None,
    admin: tuple[str, int] | None = None,
    key: bytes,
    traefik_compat: bool = False,
    certificates: Sequence[tuple[Path, Path]] = (),
    drain: float = 10.0,
    say: Callable[[str], None] = _to_stderr,
) -> None:
    """Serve a document until SIGTERM or SIGINT, then end gracefully; SIGHUP or a change of the file reloads it.

    `listen`: entry point -> host and port; absent: the document's own entry points, on loopback. `admin`: where `/healthz`
    and `/state` answer; keep it on loopback. `key` signs the sticky cookies: with another key all clients are drawn anew.
    `traefik_compat` issues Traefik's unsigned cookie values instead, for comparing. `certificates`: files of a chain
    and its key, for TLS. `drain`: seconds for requests under way.

    Raises `pinfeather.proxy.loading.Unreadable` for a document that cannot be served, OSError for an address in use.
    """
    import asyncio

    from pinfeather.proxy.cookies import Seal
    from pinfeather.proxy.flow import Settings
    from pinfeather.proxy.loading import load_canonical
    from pinfeather.proxy.server import Proxy

    async def run() -> None:
        seal, settings = Seal(key, traefik_compat), Settings(drain=drain)
        proxy = Proxy(Path(document_path), listen, admin, seal, load=load_canonical, say=say, settings=settings, certificates=certificates)
        await proxy.run()

    asyncio.run(run())
