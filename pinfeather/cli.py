"""`pinfeather`: arguments and exit codes, nothing else. Nothing heavy is loaded before a command is known.

Exit codes: 0 fine, 1 findings or a refused loss, 2 usage or input, 3 our bug, 4 files.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

VERSION = "0.1.0"
BUGS = 3
FILES = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Raises SystemExit for wrong usage and for --help, as argparse does."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser, convert = _parser()
    flags: tuple[str, ...] = ()
    if words[:1] == ["convert"] and not {"-h", "--help"} & set(words):
        flags = _format_flags(convert, words)
    if words[:1] == ["proxy"]:
        return _proxy(words[1:])
    given = parser.parse_args(words)
    if given.command is None:
        parser.print_help()
        return 0
    return _run(given, {name: getattr(given, name) for name in flags if hasattr(given, name)})


def console() -> NoReturn:
    """The entry point of the console script."""
    sys.exit(main())


def _parser() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(
        prog="pinfeather",
        description="Routes, canaries and sticky cookies: one model, every proxy's dialect, every loss named at its line.",
        epilog="Exit codes: 0 fine, 1 findings or a refused loss, 2 usage or input, 3 a bug of ours, 4 files.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pinfeather {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    convert = commands.add_parser("convert", help="say a document in another format", allow_abbrev=False)
    convert.add_argument("files", nargs="+", metavar="FILE", help="what to read; - is standard input, a folder its configuration files")
    convert.add_argument("--from", dest="source", metavar="FORMAT", help="its format; found by itself where that is clear")
    convert.add_argument("--to", dest="target", metavar="FORMAT", required=True, help="the format to write")
    convert.add_argument("-o", "--output", metavar="FILE", help="where to write; standard output without it")
    convert.add_argument("--force", action="store_true", help="write over a file that is not Pinfeather's")
    convert.add_argument("--allow", action="append", default=[], metavar="CODE[@PATH]", help="allow a loss; may be given again")
    convert.add_argument("--allow-file", metavar="FILE", help="allowed losses, one a line; a refusal prints it ready to keep")
    _reporting(convert)
    convert.epilog = "Further options are those of the two formats: see `pinfeather formats NAME`."

    lint = commands.add_parser("lint", help="find what is wrong in files and folders", allow_abbrev=False)
    lint.add_argument("files", nargs="*", default=["."], metavar="PATH", help="files and folders; the current folder without any")
    _reporting(lint)

    formats = commands.add_parser("formats", help="list the formats, or show what one of them can say", allow_abbrev=False)
    formats.add_argument("name", nargs="?", metavar="NAME")

    commands.add_parser("schema", help="print the JSON Schema of a document, for editors", allow_abbrev=False)

    commands.add_parser("proxy", help="serve a document with the reference proxy", add_help=False)
    return parser, convert


def _format_flags(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[str, ...]:
    """Gives `convert` the options of the two formats as flags: `--name value`, or `--name` for a yes. Returns their names."""
    from pinfeather._plugins import translator
    from pinfeather.translators import builtin

    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--from", dest="source")
    peek.add_argument("--to", dest="target")
    named, _ = peek.parse_known_args(words)
    formats = [named.target, *([named.source] if named.source else builtin.MODULES)]
    fields = {
        name: field
        for each in formats
        if each is not None and (found := translator(each)[0]) is not None
        for name, field in found.options.model_fields.items()
    }
    for name, field in fields.items():
        flag = f"--{name.replace('_', '-')}"
        if field.annotation is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS)
        else:
            parser.add_argument(flag, default=argparse.SUPPRESS)
    return tuple(fields)


def _reporting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report", choices=("text", "json"), default="text", help="how findings are printed")
    parser.add_argument("--all", action="store_true", help="print every finding, not the worst ten")


def _proxy(words: Sequence[str]) -> int:
    try:
        from pinfeather.proxy.__main__ import main as serve
    except ModuleNotFoundError as missing:
        print(f"pinfeather: the reference proxy needs {missing.name}; install pinfeather[proxy]", file=sys.stderr)
        return 2
    return serve(words, prog="pinfeather proxy")


def _run(given: argparse.Namespace, options: dict[str, str | bool]) -> int:
    from pinfeather import _commands
    from pinfeather._files import FileError

    try:
        if given.command == "convert":
            return _commands.convert(given, options)
        return _commands.COMMANDS[given.command](given)
    except _commands.UsageError as problem:
        print(f"pinfeather: {problem}", file=sys.stderr)
        return 2
    except FileError as problem:
        print(f"pinfeather: {problem}", file=sys.stderr)
        return FILES
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as problem:  # noqa: BLE001 - the last line of defence: a bug of ours is said, not thrown at the user
        print(f"pinfeather: bug.internal: {type(problem).__name__}: {problem}; please report it, with the input", file=sys.stderr)
        return BUGS
