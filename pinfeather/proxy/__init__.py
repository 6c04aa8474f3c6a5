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
    key: bytes | None = None,
    key_file: Path | None = None,
    traefik_compat: bool = False,
    certificates: Sequence[tuple[Path, Path]] = (),
    workers: int = 1,
    access_log: str | None = None,
    takeover: Path | None = None,
    drain: float = 10.0,
    say: Callable[[str], None] = _to_stderr,
) -> None:
    """Serve a document until SIGTERM or SIGINT, then end gracefully; SIGHUP or a change of the file reloads it.

    `listen`: entry point -> host and port; absent: the document's own entry points, on loopback. `admin`: where `/healthz`,
    `/state` and `/metrics` answer; keep it on loopback. `key`, or those in `key_file` (`pinfeather.proxy.keys`), sign the
    sticky cookies: with another key all clients are drawn anew; without either a key is made, and forgotten at the end.
    `traefik_compat` issues Traefik's unsigned cookie values instead, for comparing. `certificates`: files of a chain
    and its key, for TLS. `workers`: processes that share the sockets. `access_log`: a file, or `-`. `takeover`: a path where
    the sockets of the proxy before are taken over, and handed to the next. `drain`: seconds for requests under way.

    Raises `pinfeather.proxy.loading.Unreadable` for what cannot be served, OSError for an address in use.
    """
    import asyncio

    from pinfeather.proxy.flow import Settings
    from pinfeather.proxy.workers import Plan, run

    plan = Plan(
        Path(document_path),
        listen,
        admin,
        key_file,
        key,
        traefik_compat,
        tuple(certificates),
        access_log,
        takeover,
        Settings(drain=drain, workers=workers),
    )
    asyncio.run(run(plan, say))
