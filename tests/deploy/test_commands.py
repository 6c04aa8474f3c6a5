"""`pinfeather plan` and `pinfeather render` on a project of their own: no engine, no cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pinfeather.deploy.translation import slug

DOCUMENT = """
pinfeather: v1
entry_points: {web: 80}
routes:
  - name: shop
    hosts: [shop.example.com]
    entry_points: [web]
    middlewares: [strip]
    split: [{to: v1, weight: 90}, {to: v2, weight: 10}]
    sticky: {cookie: {name: variant}}
services:
  v1: {servers: [{kubernetes: {service: v1, port: 80}}]}
  v2: {servers: [{kubernetes: {service: v2, port: 80}}]}
middlewares:
  strip: {strip_prefix: {prefixes: [/x]}}
"""
SETTINGS = {"document": "stacks/prod/shop.yaml", "format": "ingressroute", "namespace": "shop"}


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "stacks" / "prod").mkdir(parents=True)
        (root / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
        self.document = root / "stacks" / "prod" / "shop.yaml"
        self.document.write_text(DOCUMENT)
        self.settings()

    def settings(self, **more: object) -> None:
        config = {f"pinfeather:{key}": value for key, value in {**SETTINGS, **more}.items()}
        (self.root / "stacks" / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": config}))

    def edit(self, old: str, new: str) -> None:
        text = self.document.read_text()
        assert old in text
        self.document.write_text(text.replace(old, new))

    def commit(self) -> None:
        for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "x"]):
            subprocess.run(["git", *words], cwd=self.root, check=True)

    def run(self, command: str, *words: str, code: int = 0) -> str:
        line = [sys.executable, "-m", "pinfeather", command, "--stack", "prod", "--cwd", str(self.root), *words]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def render(self, folder: Path, *words: str, code: int = 0) -> str:
        return self.run("render", "--to", str(folder), *words, code=code)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_weight_is_planned_in_one_sentence(project: Project) -> None:
    project.commit()
    assert project.run("plan") == "No request goes elsewhere.\n"
    project.edit("[{to: v1, weight: 90}, {to: v2, weight: 10}]", "[{to: v1, weight: 70}, {to: v2, weight: 30}]")
    sentence = "20 % of new clients go to v2, and no longer to v1: http://shop.example.com/; pinned clients stay where they are."
    assert project.run("plan").splitlines() == [sentence]
    told = json.loads(project.run("plan", "--report", "json"))
    assert (told["stack"], told["sentence"], told["moved"], told["refused"]) == ("prod", sentence, "1/5", [])
    assert "### Stack `prod`" in project.run("plan", "--report", "markdown")
    project.settings(policy={"max_moved_share": "19%"})
    assert "refused by the policy: 20 % of the new clients" in project.run("plan", code=1)
    project.settings(policy={"max_moved_share": "20%"})
    project.run("plan")


def test_the_deletion_guard_holds_beside_another_policy_and_counts_the_proxy(project: Project) -> None:
    project.settings(run="traefik", policy={"max_moved_share": "99%"})
    project.commit()
    project.settings(run="nothing", policy={"max_moved_share": "99%", "max_deletions": 3})
    told = project.run("plan", code=1)
    assert "Deployment shop/traefik" in told
    assert "and 3 may" in told
    project.settings(run="nothing", policy={"max_moved_share": "99%"})
    assert "deleted: " in project.run("plan")


def test_a_stack_that_was_there_and_cannot_be_read_is_not_taken_for_a_new_one(project: Project, tmp_path: Path) -> None:
    project.edit("to: v1, weight: 90", "to: v3, weight: 90")
    project.commit()
    project.edit("to: v3, weight: 90", "to: v1, weight: 10")
    assert "nothing can be compared" in project.run("plan", code=1)
    other = Project(tmp_path / "other")
    (other.root / "stacks" / "Pulumi.prod.yaml").unlink()
    (other.root / "link").symlink_to("/etc/hostname")
    other.commit()
    other.settings()
    assert other.run("plan") == "1 route for shop.example.com: new here.\n"
    assert "no revision" in other.run("plan", "--against", "nowhere", code=2)


def test_a_project_in_a_folder_of_its_repository(tmp_path: Path) -> None:
    project = Project(tmp_path / "repository" / "deploy")
    shared = tmp_path / "repository" / "shared.yaml"
    shared.write_text(DOCUMENT)
    project.settings(document="../shared.yaml", policy={"max_moved_share": "1%"})
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path / "repository", check=True)
    shared.write_text(DOCUMENT.replace("weight: 90", "weight: 10").replace("weight: 10}]", "weight: 90}]"))
    assert "80 % of the new clients" in project.run("plan", code=1)


def test_render_writes_the_same_bytes_and_says_what_is_no_more(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    project.render(folder)
    first = tree(folder)
    assert sorted(first) == [
        "ingressroute-shop_shop.yaml", "inventory.txt", "kustomization.yaml", "middleware-shop_strip.yaml", "prune.txt",
        "traefikservice-shop_shop-split.yaml",
    ]  # fmt: skip
    assert b"pinfeather" not in b"".join(text for name, text in first.items() if name.endswith(".yaml"))
    project.render(folder)
    assert tree(folder) == first
    project.render(folder, "--check")
    project.edit("    middlewares: [strip]\n", "")
    text = project.document.read_text()
    project.document.write_text(text[: text.index("middlewares:")])
    assert "would go" in project.render(folder, "--check", code=1)
    assert tree(folder) == first
    project.render(folder)
    assert (folder / "prune.txt").read_text() == "middleware.traefik.io/strip --namespace=shop\n"
    assert not (folder / "middleware-shop_strip.yaml").exists()
    project.document.write_text(DOCUMENT)
    project.render(folder)
    assert tree(folder) == first


def test_render_touches_nothing_that_is_not_its_own(project: Project, tmp_path: Path) -> None:
    folder, victim = tmp_path / "out", tmp_path / "victim"
    folder.mkdir()
    (folder / "theirs.txt").write_text("x")
    assert "a folder of its own" in project.render(folder, code=2)
    (folder / "theirs.txt").unlink()
    project.render(folder)
    victim.write_text("x")
    with (folder / "inventory.txt").open("a") as inventory:
        inventory.write("../victim\n")
    project.render(folder)
    assert victim.exists()


def test_two_objects_never_share_a_name() -> None:
    def named(place: str, name: str, api_version: str = "traefik.io/v1alpha1", kind: str = "IngressRoute") -> str:
        return slug({"apiVersion": api_version, "kind": kind, "metadata": {"namespace": place, "name": name}})

    assert named("a", "b-c") == "ingressroute-a_b-c"
    assert named("a-b", "c") == "ingressroute-a-b_c"
    ingresses = {named("a", "b", group, "Ingress") for group in ("networking.k8s.io/v1", "voyager.appscode.com/v1", "example.com/v1")}
    assert len(ingresses) == 3


def test_a_secret_is_not_written_unasked(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    users = '  users: {basic_auth: {users: ["admin:$2y$05$a-hash-of-somebody"]}}\n'
    project.document.write_text(DOCUMENT.replace("middlewares: [strip]", "middlewares: [strip, users]") + users)
    assert "would hold a secret in the clear" in project.render(folder, code=1)
    assert not folder.exists()
    project.render(folder, "--write-secrets")
    (secret,) = folder.glob("secret-*.yaml")
    assert secret.stat().st_mode & 0o077 == 0


def test_without_a_namespace_nobody_knows_where(project: Project, tmp_path: Path) -> None:
    project.settings(namespace=None)
    text = (project.root / "stacks" / "Pulumi.prod.yaml").read_text().replace("  pinfeather:namespace: null\n", "")
    (project.root / "stacks" / "Pulumi.prod.yaml").write_text(text)
    assert "pinfeather:namespace is missing" in project.render(tmp_path / "out", code=1)
