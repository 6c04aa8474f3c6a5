"""`pinfeather render`: a stack as files, for those who deploy with Argo CD, Flux or kubectl. They are the objects that Pulumi would apply.

One file an object, called after it; `kustomization.yaml` names them all; `inventory.txt` is what there is, and `prune.txt` what was there
at the render before and is no more, as `kubectl delete` takes it. Patches stand in `patches/`, to be applied server-side.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from pinfeather._files import FileError, remove, write_atomic
from pinfeather._sources import UsageError
from pinfeather.deploy.plan import Plan, namespace_of, objects_of_file
from pinfeather.deploy.serving import proxy_objects
from pinfeather.deploy.settings import RefusalError, WeightOwner, settings_of_files
from pinfeather.deploy.translation import Tree, slug
from pinfeather.translators._syntax.yaml_emit import emit_all

INVENTORY, PRUNE, KUSTOMIZATION = "inventory.txt", "prune.txt", "kustomization.yaml"
_MARK = "# Written by `pinfeather render`; what is not named here is left alone."
_ROW = re.compile(r"(patches/)?[^/\\\t]+(\t.*)?")
_WEIGHTS = (
    "pinfeather:weightOwner: the weights are written as the document has them; what applies these files must leave "
    "/spec/weighted/services of TraefikServices to the controller (Argo CD: ignoreDifferences)\n"
)
_SECRET_MODE = 0o600


def run(given: argparse.Namespace) -> int:
    """Exit codes: 0 fine, 1 refused, or with --check different. Raises FileError and UsageError."""
    root, folder = Path(given.cwd).resolve(), Path(given.to)
    if not (root / "Pulumi.yaml").is_file():
        raise UsageError(f"{root}: there is no Pulumi.yaml: say the project's folder with --cwd")
    try:
        plan = Plan.of(given.stack, settings_of_files(root, given.stack), root)
        files, hidden = rendered(plan, secrets=given.write_secrets)
    except RefusalError as problem:
        sys.stderr.write(f"pinfeather: {problem}\n")
        return 1
    before = _inventory(folder)
    if before is None and folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} holds files and no {INVENTORY} of an earlier render: name a folder of its own")
    stale = [row for row in before or () if row.partition("\t")[0] not in files]
    there = {row.partition("\t")[2] for row in files[INVENTORY].splitlines()}
    gone = {row.partition("\t")[2] for row in stale if "\t" in row} | set(_before(folder / PRUNE).splitlines())
    files[PRUNE] = "".join(f"{row}\n" for row in sorted(gone - there))
    if given.check:
        return _compare(folder, files, stale)
    for name, text in files.items():
        secret = name in hidden
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / name, text.encode(), mode=_SECRET_MODE if secret else None)
    for row in stale:
        remove(folder / row.partition("\t")[0])
    if plan.settings.weight_owner is WeightOwner.EXTERNAL:
        sys.stderr.write(_WEIGHTS)
    for remark in plan.said.remarks:
        sys.stderr.write(f"{remark}\n")
    sys.stdout.write(f"{len(files)} files in {folder}; {len(stale)} went\n")
    return 0


def rendered(plan: Plan, *, secrets: bool = False) -> tuple[dict[str, str], frozenset[str]]:
    """Every file by its name, the inventory last; and which of them hold secrets. Raises RefusalError where those are not to be written."""
    namespace = namespace_of(plan)
    said = plan.said.within(namespace)
    crds = objects_of_file(plan.root / plan.settings.crds) if plan.settings.crds else ()
    objects = [*crds, *said.objects, *proxy_objects(plan, namespace)]
    files = {file.name: file.text for file in said.files}
    rows = [*files]
    hidden = {*files} if said.secrets else set()
    for tree, folder in [*((each, "") for each in objects), *((each, "patches/") for each in said.patches)]:
        name = f"{folder}{file_name(tree)}"
        files[name] = emit_all([tree])
        if tree["kind"] == "Secret" or _hides(tree, said.hides):
            hidden.add(name)
        rows.append(f"{name}\t{resource(tree)}" if not folder else name)
    if hidden and not secrets:
        raise RefusalError(f"{min(hidden)} would hold a secret in the clear: keep it out of the document, or say --write-secrets")
    if objects:
        files[KUSTOMIZATION] = _kustomization(file_name(each) for each in objects)
        rows.append(KUSTOMIZATION)
    files[INVENTORY] = "\n".join([_MARK, *sorted(rows)]) + "\n"
    return files, frozenset(hidden)


def _hides(tree: JsonValue, hides: Callable[[str], bool]) -> bool:
    if isinstance(tree, str):
        return hides(tree)
    if isinstance(tree, dict):
        return any(_hides(each, hides) for each in tree.values())
    return isinstance(tree, list) and any(_hides(each, hides) for each in tree)


def file_name(tree: Tree) -> str:
    """`ingressroute-shop_shop.yaml`."""
    return f"{slug(tree)}.yaml"


def resource(tree: Tree) -> str:
    """As `kubectl delete` takes it: `ingressroute.traefik.io/shop --namespace=shop`."""
    group = str(tree["apiVersion"]).rpartition("/")[0]
    metadata = tree["metadata"]
    assert isinstance(metadata, dict)
    namespace = metadata.get("namespace")
    kind = str(tree["kind"]).lower() + (f".{group}" if group else "")
    return f"{kind}/{metadata['name']}" + (f" --namespace={namespace}" if namespace else "")


def _kustomization(names: Iterator[str]) -> str:
    head: Tree = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(names)}
    return emit_all([head])


def _inventory(folder: Path) -> list[str] | None:
    """The rows of an earlier render; None where there was none."""
    lines = _before(folder / INVENTORY).splitlines()
    # The file stands in a repository: a row that leads out of the folder is nobody's.
    return [row for row in lines[1:] if _ROW.fullmatch(row) and not row.startswith(".")] if lines[:1] == [_MARK] else None


def _before(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as problem:
        raise FileError(path, f"cannot be read: {problem}") from None


def _compare(folder: Path, files: Mapping[str, str], stale: list[str]) -> int:
    different = [name for name, text in files.items() if _before(folder / name) != text]
    for name in different:
        sys.stdout.write(f"{folder / name}: not what would be written\n")
    for row in stale:
        sys.stdout.write(f"{folder / row.partition(chr(9))[0]}: would go\n")
    return 1 if different or stale else 0
