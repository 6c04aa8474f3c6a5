"""The options of `pinfeather import`."""

from __future__ import annotations

import argparse

from pinfeather._arguments import source

_EPILOG = """\
It writes the document, the objects as they were found (routes.adopted.yaml), the allow file (routes.allow) and stacks/Pulumi.NAME.yaml:
all of them or none. Then it says what the first `pulumi up` would change.

Secrets stay in the cluster: a middleware goes on naming its Secret. If files hold users, the document is readable by you alone.

Exit codes: 0 nothing would change, 1 something would (the files are written all the same), 2 usage or input, 4 files, or nobody answers.
"""


def parser() -> argparse.ArgumentParser:
    """Of `pinfeather import`."""
    made = argparse.ArgumentParser(
        prog="pinfeather import", allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_EPILOG
    )
    made.usage = (
        "pinfeather import [OPTION]... --stack NAME FILE...\n       pinfeather import [OPTION]... --stack NAME --cluster\n"
        "       pinfeather import [OPTION]... --stack NAME --live URL"
    )
    made.add_argument("files", nargs="*", metavar="FILE", help="files or folders to read, - for standard input")
    made.add_argument("--stack", required=True, metavar="NAME", help="the stack to make")
    made.add_argument("--format", default="ingressroute", metavar="FORMAT", help="the format that the stack deploys (ingressroute)")
    made.add_argument("-o", "--output", metavar="FILE", help="the document (stacks/NAME/routes.yaml); its companions stand beside it")
    made.add_argument("--force", action="store_true", help="write over files that are there")
    made.add_argument("--cwd", default=".", metavar="FOLDER", help="the project: where Pulumi.yaml is")
    made.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the formats, such as traefik=3.4")
    made.add_argument("--out", metavar="FOLDER", help="for a format that writes files: the folder that the proxy watches")
    made.add_argument(
        "--allow", action="append", default=[], metavar="CODE[@PATH]", help="go on without something that cannot be read or said"
    )
    made.add_argument("--allow-file", metavar="FILE", help="the same, one a line")
    made.add_argument("--all", action="store_true", help="show every finding, and every object")
    source(made)
    cluster = made.add_argument_group("a cluster")
    cluster.add_argument("--cluster", action="store_true", help="read the live objects of a cluster")
    cluster.add_argument("--context", metavar="NAME", help="a context of the kubeconfig")
    cluster.add_argument("--kubeconfig", metavar="FILE", help="instead of $KUBECONFIG and ~/.kube/config")
    cluster.add_argument(
        "--namespace", action="append", default=[], metavar="NAMESPACE", help="only this one, and others so named; else all"
    )
    cluster.add_argument(
        "--except", dest="excluded", action="append", default=[], metavar="'KIND NAMESPACE/NAME'", help="leave an object alone"
    )
    live = made.add_argument_group("a live Traefik")
    live.add_argument("--live", metavar="URL", help="ask the API of a running Traefik, such as http://127.0.0.1:8080")
    live.add_argument("--traefik-header", action="append", default=[], metavar="HEADER", help="a header for the API: 'NAME: VALUE'")
    made.set_defaults(command="import")
    return made
