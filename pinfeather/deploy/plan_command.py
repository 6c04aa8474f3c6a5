"""`pinfeather plan`: what a change of the files would do to users, for a pull request. No engine and no cluster is asked.

Compared are the stack as it stands at a revision of Git, and as it stands here.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from pinfeather._sources import UsageError
from pinfeather.deploy.plan import Plan, namespace_of
from pinfeather.deploy.policy import refusals
from pinfeather.deploy.serving import proxy_objects
from pinfeather.deploy.settings import RefusalError, settings_of_files
from pinfeather.deploy.traffic import Target, Traffic, first, traffic
from pinfeather.diff import render


def run(given: argparse.Namespace) -> int:
    """Exit codes: 0 fine, 1 refused by the policy, or the document cannot be said. Raises UsageError."""
    root = Path(given.cwd).resolve()
    if not (root / "Pulumi.yaml").is_file():
        raise UsageError(f"{root}: there is no Pulumi.yaml: say the project's folder with --cwd")
    try:
        plan = Plan.of(given.stack, settings_of_files(root, given.stack), root)
        after = target_of(plan)
        with tempfile.TemporaryDirectory() as folder:
            before = _at_revision(given.stack, root, given.against, Path(folder))
    except RefusalError as problem:
        sys.stderr.write(f"pinfeather: {problem}\n")
        return 1
    if before is None:
        return _told_first(plan.name, after, given.report)
    change = traffic(before, after)
    refused = tuple(refusals(plan.settings.policy, change))
    sys.stdout.write(_printed(change, refused, plan, given.report))
    return 1 if refused else 0


def target_of(plan: Plan) -> Target:
    """What a plan deploys, to be compared."""
    namespace = namespace_of(plan)
    said = plan.said.within(namespace).beside(proxy_objects(plan, namespace))
    return Target(said.document, said.format, said.options, said.losses, said.deployed())


def _printed(change: Traffic, refused: tuple[str, ...], plan: Plan, report: str) -> str:
    if report == "json":
        return json.dumps({"stack": plan.name, "refused": list(refused), **json.loads(change.json())}, indent=2) + "\n"
    if report == "markdown":
        rows = "".join(f"- **refused**: {render.escaped(each)}\n" for each in refused)
        return f"### Stack `{plan.name}`\n\n{rows}{change.markdown()}"
    return "\n".join([*change.lines(), *(f"refused by the policy: {each}" for each in refused)]) + "\n"


def _told_first(stack: str, after: Target, report: str) -> int:
    said = first(after)
    sys.stdout.write(
        {"json": json.dumps({"stack": stack, "refused": [], "sentence": said}) + "\n", "markdown": f"**{said}**\n"}.get(report, f"{said}\n")
    )
    return 0


def _at_revision(stack: str, root: Path, revision: str, folder: Path) -> Target | None:
    """The stack as it was; None where it was not there. Raises UsageError, and RefusalError where it was there and cannot be read."""
    prefix = _git(root, "rev-parse", "--show-prefix").decode().strip()
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
    top = Path(_git(root, "rev-parse", "--show-toplevel").decode().strip())
    # The whole tree: what the stack names may stand outside of its project's folder. Links are left out, wherever they lead.
    with tarfile.open(fileobj=io.BytesIO(_git(top, "archive", "--format=tar", commit))) as archive:
        archive.extractall(folder, [each for each in archive.getmembers() if each.isreg() or each.isdir()], filter="data")
    then = folder / prefix
    if not (then / "stacks" / f"Pulumi.{stack}.yaml").is_file():
        return None
    try:
        return target_of(Plan.of(stack, settings_of_files(then, stack), then))
    except RefusalError as problem:
        raise RefusalError(f"{revision}: {problem}\nSo nothing can be compared with it; name another with --against") from None


def _git(folder: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        raise UsageError("a revision is read with git, and there is none on PATH") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise UsageError(f"git: {said.removeprefix('fatal: ')}" if said else f"{words[-1].removesuffix('^{commit}')!r} is no revision here")
    return done.stdout
