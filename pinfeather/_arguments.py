"""The arguments of every command. Apart from `cli.py`, so that `--help` does not pay for a parser."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

OWN = frozenset(
    {
        "--help", "--from", "--to", "--output", "--force", "--allow", "--allow-file", "--report", "--report-to", "--all", "--bind",
        "--servers", "--instance", "--from-static", "--pass-through", "--best-effort",
    }
)  # fmt: skip
"""The flags of `convert` itself."""


def parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(
        prog="pinfeather",
        usage="pinfeather [--help] [--version] COMMAND ...",
        allow_abbrev=False,
        add_help=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    convert = commands.add_parser("convert", help="say a document in another format", allow_abbrev=False)
    convert.add_argument("files", nargs="+", metavar="FILE", help="what to read; - is standard input, a folder its configuration files")
    convert.add_argument("--from", dest="source", metavar="FORMAT", help="its format; found by itself where that is clear")
    convert.add_argument("--to", dest="target", metavar="FORMAT", required=True, help="the format to write")
    convert.add_argument("-o", "--output", metavar="FILE", help="where to write; standard output without it")
    convert.add_argument("--force", action="store_true", help="write over a file that is not Pinfeather's")
    convert.add_argument("--allow", action="append", default=[], metavar="CODE[@PATH]", help="allow a loss; may be given again")
    convert.add_argument("--allow-file", metavar="FILE", help="allowed losses, one a line; a refusal prints it ready to keep")
    _reporting(convert, "markdown")
    convert.add_argument("--report-to", metavar="FILE", help="where the findings go; standard error without it")
    convert.add_argument("--bind", action="append", default=[], metavar="EXPR=VALUE", help="put a value in the place of an expression")
    convert.add_argument(
        "--servers", action="append", default=[], metavar="REF=URL[,URL]", help="say which servers a Service or a container has"
    )
    convert.add_argument("--instance", metavar="FILE", help="what the proxy is configured for: options and entry points")
    convert.add_argument("--from-static", metavar="FILE", help="the same, from Traefik's static configuration")
    convert.add_argument("--pass-through", action="store_true", help="copy the objects of other kinds to the output, byte for byte")
    convert.add_argument("--best-effort", action="store_true", help="write what can be said, with each loss as a comment")
    convert.epilog = "Further options are those of the two formats: see `pinfeather formats NAME`."

    lint = commands.add_parser("lint", help="find what is wrong in files and folders", allow_abbrev=False)
    lint.add_argument("files", nargs="*", default=["."], metavar="PATH", help="files and folders; the current folder without any")
    lint.add_argument("--fix", action="store_true", help="put right what can be put right, and nothing else")
    lint.add_argument("--dry-run", action="store_true", help="with --fix: print what would change, as a unified diff")
    _reporting(lint, "sarif", "github")
    lint.epilog = "`.pinfeather.toml` and comments say what to leave alone: docs/lint.md. Exit codes: 0 nothing, 1 findings, 2 usage."

    commands.add_parser("explain", help="say why a request goes where it goes", add_help=False)

    commands.add_parser("diff", help="say which requests two documents send elsewhere", add_help=False)
    commands.add_parser("verify", help="find out whether a running proxy does what a document says", add_help=False)

    formats = commands.add_parser("formats", help="list the formats, or show what one of them can say", allow_abbrev=False)
    formats.add_argument("name", nargs="?", metavar="NAME")

    commands.add_parser("schema", help="print the JSON Schema of a document, for editors", allow_abbrev=False)

    commands.add_parser("proxy", help="serve a document with the reference proxy", add_help=False)
    return parser, convert


def explain_parser() -> argparse.ArgumentParser:
    """Of a command whose options may stand between its files and the request: use `parse_intermixed_args`."""
    explain = argparse.ArgumentParser(prog="pinfeather explain", allow_abbrev=False)
    explain.usage = "pinfeather explain [OPTION]... FILE... 'curl LINE'"
    explain.add_argument("files", nargs="*", metavar="FILE", help="what to read, and last the request, as one argument: a curl line")
    explain.add_argument("--request", metavar="JSON", help="the request as JSON, as a file of it, or - for standard input")
    explain.add_argument("--tcp", metavar="SNI[:PORT]", help="ask for a TCP connection: its server name, or :PORT without TLS")
    explain.add_argument("--entry-point", metavar="NAME", help="through which one it comes in; by the port or the scheme without it")
    explain.add_argument("--client", metavar="ADDRESS", help="the client's address; 127.0.0.1 without it")
    explain.add_argument("--bound", action="append", default=[], metavar="COOKIE=WHAT", help="what the client is bound to")
    explain.add_argument("--down", action="append", default=[], metavar="SERVICE[/N]", help="a service, or its Nth server, is down")
    explain.add_argument("--draining", action="append", default=[], metavar="SERVICE[/N]", help="it takes only who is bound to it")
    explain.add_argument("--traefik", metavar="URL", help="ask the API of a running Traefik; FILEs say which line its routers came from")
    explain.add_argument("--traefik-header", action="append", default=[], metavar="HEADER", help="a header for the API: 'NAME: VALUE'")
    explain.add_argument("--report", choices=("text", "json"), default="text", help="how the answer is printed")
    explain.add_argument("--all", action="store_true", help="show every route that was asked, and every finding")
    source(explain)
    explain.epilog = "What follows --client may stand in the line too, the address as --from: docs/explain.md."
    explain.set_defaults(command="explain")
    return explain


def source(parser: argparse.ArgumentParser) -> None:
    """The options of a command that reads a document and writes none."""
    parser.add_argument("--from", dest="source", metavar="FORMAT", help="the format of the files; found by itself where that is clear")
    parser.add_argument("--bind", action="append", default=[], metavar="EXPR=VALUE", help="put a value in the place of an expression")
    parser.add_argument(
        "--servers", action="append", default=[], metavar="REF=URL[,URL]", help="say which servers a Service or a container has"
    )
    parser.add_argument("--instance", metavar="FILE", help="what the proxy is configured for: options and entry points")
    parser.add_argument("--from-static", metavar="FILE", help="the same, from Traefik's static configuration")


def format_flags(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[str, ...]:
    """Gives `convert` the options of the two formats as flags: `--name value`, or `--name` for a yes. Returns their names."""
    from pinfeather._plugins import translator
    from pinfeather._sources import UsageError
    from pinfeather.translators import builtin

    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--from", dest="source")
    peek.add_argument("--to", dest="target")
    named, _ = peek.parse_known_args(words)
    fields = {
        name: field
        for each in [named.target, *([named.source] if named.source else builtin.MODULES)]
        if each is not None and (found := translator(each)[0]) is not None
        for name, field in found.options.model_fields.items()
    }
    for name, field in fields.items():
        flag = f"--{name.replace('_', '-')}"
        if flag in OWN:
            raise UsageError(f"the option {name!r} of one of these formats clashes with {flag}; its authors must rename it")
        if field.annotation is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS)
        else:
            parser.add_argument(flag, default=argparse.SUPPRESS)
    return tuple(fields)


def _reporting(parser: argparse.ArgumentParser, *further: str) -> None:
    parser.add_argument("--report", choices=("text", "json", *further), default="text", help="how findings are printed")
    parser.add_argument("--all", action="store_true", help="print every finding, not the worst ten")
