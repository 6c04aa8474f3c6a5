"""The real engine: `pinfeather import` of what runs, then `pulumi up`, changes nothing in the cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from pinfeather.deploy.cluster import Cluster
from pinfeather.importing.grouping import Key
from pinfeather.importing.live_objects import cleaned
from tests.deploy.cluster_project import cluster_project
from tests.importing.test_cluster import APPLIED
from tests.parts.kubernetes import KubernetesApi, Object

KINDS = ("Middleware", "TraefikService", "IngressRoute", "IngressRouteTCP")
MARKS = ("pulumi.com/patchFieldManager", "pulumi.com/patchForce")
"""What the provider reads, and leaves standing in the object."""


def live(cluster: Cluster) -> dict[Key, Object]:
    """Every object of the routing, without the marks of the provider."""
    found = {}
    for kind in KINDS:
        for each in cluster.all("traefik.io/v1alpha1", kind):
            metadata = each["metadata"]
            assert isinstance(metadata, dict)
            annotations = metadata.get("annotations")
            if isinstance(annotations, dict):
                metadata["annotations"] = {key: text for key, text in annotations.items() if key not in MARKS}
            found[Key(kind, str(metadata["namespace"]), str(metadata["name"]))] = cleaned(each)
    return found


def test_import_and_up_change_nothing(kubernetes: KubernetesApi, tmp_path: Path) -> None:
    kubernetes.apply(APPLIED)
    with cluster_project(tmp_path, kubernetes, "shop", stack="taken") as project:
        project.keep_settings = True
        cluster = Cluster.of(Path(project.environment["KUBECONFIG"]))
        before = live(cluster)
        assert len(before) == 8
        settings = project.root / "stacks/Pulumi.taken.yaml"
        settings.write_text("# as `pulumi stack init` leaves it\n" + yaml.safe_dump({"config": {"kubernetes:context": "tests"}}))
        printed = project.run([sys.executable, "-m", "pinfeather", "import", "--cluster", "--stack", "taken"])
        assert "Nothing would change." in printed
        project.up()
        assert live(cluster) == before
        project.pulumi("preview", "--expect-no-changes")

        document = project.root / "stacks/taken/routes.yaml"
        document.write_text(document.read_text().replace("priority: 90", "priority: 91"))
        refused = project.pulumi("preview", fails=True)
        assert "is held by 'tests' at another value" in refused, "an edit of what another manager holds is refused, and says whose it is"
        assert live(cluster) == before
