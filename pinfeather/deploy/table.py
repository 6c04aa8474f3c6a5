"""The table that `make up` prints: one document, measured through every proxy that serves it.

    python -m pinfeather.deploy.table --document shop.yaml --proxy Traefik=http://127.0.0.1:8000 --proxy 'reference proxy=...'

Each row is a question; what is expected comes from the document through the decision core. The servers that the document
names must be demo servers (`demo.py`). Exit codes: 0 every proxy behaves as written, 1 one does not, 2 wrong arguments or
a document that cannot be read or checked, 4 a proxy or a server does not answer, 130 interrupted.
"""

from __future__ import annotations

import argparse
import ipaddress
import shlex
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pinfeather.deploy.ask import Address, Silent
from pinfeather.deploy.expected import Story, Unfit
from pinfeather.deploy.measure import Client, Measured, Row, measure
from pinfeather.model.sticky import set_cookie
from pinfeather.proxy.loading import Unreadable, load_canonical

WIDTH = 110
_MOST_FAULTS = 5  # shown of one proxy for one question
_GREEN, _RED, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"


def rendered(measured: Measured, proxies: Sequence[Address], story: Story, *, colours: bool = False) -> str:
    """The table, what it refers to, what was wrong, and what to try next."""
    parts = ["\n".join(_grid(measured.rows, [proxy.name for proxy in proxies], colours=colours))]
    parts.append("\n".join(_notes(story)))
    if faults := list(_faults(measured, proxies)):
        parts.append("\n".join(("Not as written:", *faults)))
    else:
        agree = "Both proxies behave" if len(proxies) == 2 else f"All {len(proxies)} proxies behave" if len(proxies) > 2 else "It behaves"
        parts.append(f"{agree} as the document says.")
    parts.append("\n".join(_to_try(measured, proxies, story)))
    return "\n\n".join(parts) + "\n"


def curl_lines(measured: Measured, proxies: Sequence[Address], story: Story) -> list[tuple[str, str, str]]:
    """Commands to copy: the proxy's name, what the command shows, and the command."""
    lines = []
    for proxy, client in zip(proxies, measured.clients, strict=True):
        address = f"http://{story.host}:{proxy.port}{story.path}"
        command = ["curl", "-i"]
        if not _resolves(story.host, proxy):
            # What is asked for by an address of its own needs its host said.
            command += ["-H", f"Host: {story.host}"]
            address = f"{proxy.url}{story.path}"
        name, value = story.tester
        lines.append((proxy.name, "anybody", shlex.join((*command, address))))
        lines.append((proxy.name, "a tester", shlex.join((*command, "-b", f"{name}={value}", address))))
        if client is not None and client.cookies:
            who = f"who stays with {measured.hostnames.get(client.server, client.server)}"
            lines.append((proxy.name, who, shlex.join((*command, "-b", _jar(client), address))))
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pinfeather.deploy.table", description="Measure one document through running proxies.")
    parser.add_argument("--document", required=True, type=Path, help="the canonical document that the proxies serve")
    parser.add_argument("--proxy", required=True, action="append", type=_named, metavar="NAME=URL", help="Traefik=http://127.0.0.1:8000")
    given = parser.parse_args(arguments)
    document: Path = given.document
    proxies: list[Address] = given.proxy
    try:
        story = Story.of(load_canonical(str(document), document.read_bytes().decode("utf-8")))
        measured = measure(story, proxies)
    except (Unreadable, UnicodeDecodeError) as error:
        return _failed(str(error) if isinstance(error, Unreadable) else f"{document}: not UTF-8 at byte {error.start}", 2)
    except Unfit as error:
        return _failed(f"{document}: {error}", 2)
    except OSError as error:
        return _failed(f"{document}: {(error.strerror or str(error)).lower()}", 4)
    except Silent as error:
        return _failed(str(error), 4)
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    sys.stdout.write(rendered(measured, proxies, story, colours=sys.stdout.isatty()))
    return 0 if measured.holds else 1


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


def _named(text: str) -> Address:
    name, equals, url = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=http://host:port")
    try:
        return Address.of(name, url)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _grid(rows: Sequence[Row], names: Sequence[str], *, colours: bool) -> Iterator[str]:
    lines = [["", "expected", *names, ""]]
    lines += [[row.question, row.expected, *(cell.text for cell in row.cells), "ok" if row.holds else "WRONG"] for row in rows]
    widths = _widths(lines)
    for index, line in enumerate(lines):
        wrapped = [textwrap.wrap(text, width) or [""] for text, width in zip(line, widths, strict=True)]
        for number in range(max(map(len, wrapped))):
            texts = [part[number] if number < len(part) else "" for part in wrapped]
            padded = [text.ljust(width) for text, width in zip(texts, widths, strict=True)]
            if colours and texts[-1] and index:
                padded[-1] = f"{_GREEN if rows[index - 1].holds else _RED}{texts[-1]}{_PLAIN}"
            yield "  ".join(padded).rstrip()
        if index == 0:
            yield "  ".join("-" * width for width in widths)


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    """As wide as the texts; where that is too wide, the widest columns give way."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1
    return widths


def _notes(story: Story) -> Iterator[str]:
    expected = story.expected({})
    cookies = dict.fromkeys(set_cookie(cookie, "<value>") for one in expected for cookie, _ in one.set_cookies)
    headers = dict.fromkeys(f"{name}: {value}" if value else f"no {name}" for one in expected for name, value in one.headers.items())
    yield "Counts: expected (and what chance explains, by an exact binomial bound at 1e-6)."
    for mark, kind, texts in (("(1)", "Set-Cookie: ", cookies), ("(2)", "", headers)):
        for number, text in enumerate(texts or ("none",)):
            yield f"{mark if number == 0 else '   '} {kind}{text}"


def _faults(measured: Measured, proxies: Sequence[Address]) -> Iterator[str]:
    for row in measured.rows:
        for proxy, cell in zip(proxies, row.cells, strict=True):
            counted = Counter(cell.faults).most_common()
            for fault, count in counted[:_MOST_FAULTS]:
                times = f" ({count} times)" if count > 1 else ""
                yield from textwrap.wrap(
                    f"{proxy.name}, {row.question}: {fault}{times}", WIDTH, initial_indent="  ", subsequent_indent="    "
                )
            if len(counted) > _MOST_FAULTS:
                yield f"    and {len(counted) - _MOST_FAULTS} more"


def _to_try(measured: Measured, proxies: Sequence[Address], story: Story) -> Iterator[str]:
    lines = curl_lines(measured, proxies, story)
    for proxy in proxies:
        address = f"http://{story.host}:{proxy.port}{story.path}" if _resolves(story.host, proxy) else f"{proxy.url}{story.path}"
        yield f"Try {proxy.name}: {address}"
        own = [(shows, command) for name, shows, command in lines if name == proxy.name]
        for shows, command in own:
            yield from (f"  # {shows}", f"  {command}")
        yield ""
    yield "-b name=value passes a Secure cookie over http; curl's own cookie jar (-c, -b FILE) would keep it back."


def _resolves(host: str, proxy: Address) -> bool:
    """Whether curl finds the proxy by the document's host: `localhost` names are loopback (RFC 6761, 6.3; curl 7.77)."""
    try:
        loopback = ipaddress.ip_address(proxy.host).is_loopback
    except ValueError:
        loopback = proxy.host == "localhost"
    return loopback and (host == "localhost" or host.endswith(".localhost"))


def _jar(client: Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


if __name__ == "__main__":
    sys.exit(main())
