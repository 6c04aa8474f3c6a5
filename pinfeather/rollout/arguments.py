"""The options of `pinfeather rollout`."""

from __future__ import annotations

import argparse
import re
from fractions import Fraction
from itertools import pairwise

_SHARE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")


def parser() -> argparse.ArgumentParser:
    """Of `pinfeather rollout`."""
    rollout = argparse.ArgumentParser(
        prog="pinfeather rollout",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Raise the weight of one entry of a split in steps, each deployed and verified; go back where one fails.",
    )
    rollout.add_argument("document", metavar="DOCUMENT", help="the document that the stack deploys; only weights are edited in it")
    subject = rollout.add_mutually_exclusive_group(required=True)
    subject.add_argument("--route", metavar="NAME", help="the route whose split it is")
    subject.add_argument("--split", metavar="NAME", help="or the service that is a split")
    rollout.add_argument("--to", metavar="SERVICE", help="the entry whose weight is raised; the others share the rest as they did")
    rollout.add_argument("--steps", type=_steps, metavar="N[,N…]", help="its weight at each step, in percent of the split: 10,30,60,100")
    deployed = rollout.add_argument_group("how a step is deployed")
    deployed.add_argument("--stack", metavar="STACK", help="runs `pulumi up --yes --skip-preview --non-interactive --stack STACK`")
    deployed.add_argument("--up", metavar="COMMAND", help="runs this instead, split into words as a shell does it, but without a shell")
    deployed.add_argument(
        "--cwd", metavar="FOLDER", help="where it runs; without it the next folder with a Pulumi.yaml, from the document upwards"
    )
    verified = rollout.add_argument_group("how a step is verified")
    verified.add_argument(
        "--verify-url",
        action="append",
        default=[],
        metavar="[[PROXY:]ENTRY=]URL",
        help="what `pinfeather verify --url` is given; may be given again",
    )
    verified.add_argument(
        "--verify-options",
        default="",
        metavar="'OPTION…'",
        help="further options of it: --verify-options='--rate 200 --name HOST=SERVICE'; without --name a proxy that gives two entries "
        "each other's weights is not found out",
    )
    verified.add_argument(
        "--settle", default="10s", metavar="TIME", help="how long after the deployment a failed verify is asked again (default: 10s)"
    )
    verified.add_argument("--hold", default="60s", metavar="TIME", help="how long a step stands before it is verified again (default: 60s)")
    rollout.add_argument(
        "--log", metavar="FILE", help="what was done, a line of JSON each (default: .pinfeather/rollout-NAME.log in the folder of --cwd)"
    )
    instead = rollout.add_mutually_exclusive_group()
    instead.add_argument("--status", action="store_true", help="say where the last rollout stands, and do nothing")
    instead.add_argument("--back", action="store_true", help="put the document back as it was before the first step, and deploy that")
    instead.add_argument("--anew", action="store_true", help="forget a rollout that was cut off: begin from the document as it is now")
    rollout.epilog = """\
What was cut off goes on where it stood: say the same again, or say it with --back.

Ctrl-C and SIGTERM stop it where it is: a running deployment is let end, a wait or a verify ends at once, the document keeps the
weights that it has, and they are said. The second Ctrl-C is passed on to the running deployment. While it goes back, it does so
to the end; there, too, the second is passed on.

Exit codes: 0 every step stands (with --back: it is as before), 1 a step failed and it went back, or nothing was begun, 2 usage or
input, 4 going back failed, or files; 130 and 143 it was stopped."""
    rollout.set_defaults(command="rollout")
    return rollout


def _steps(text: str) -> tuple[Fraction, ...]:
    """Shares of 1, ascending."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if _SHARE.fullmatch(word) is None or not 0 < Fraction(word) <= 100:
            raise argparse.ArgumentTypeError(f"{word!r} is no percentage from 0.001 to 100")
    found = tuple(Fraction(word) / 100 for word in words)
    if any(one >= other for one, other in pairwise(found)):
        raise argparse.ArgumentTypeError(f"{text!r} does not go up")
    return found
