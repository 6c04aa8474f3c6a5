"""The API server as the stand-in asks it: the product's connection, which only reads, and what changes things beside it."""

from __future__ import annotations

from functools import cached_property
from http import HTTPStatus
from threading import Event, Lock
from time import monotonic

from urllib3 import PoolManager

from pinfeather.deploy.cluster import Cluster, ClusterError, Kind, Object
from tests.parts.kubernetes_plugin.trees import identity_of

_THREADS = 32  # connections that are kept: as many as threads ask at once
_PATIENCE = 10.0  # seconds in which a kind or a namespace of the same run may come
_PAUSE = 0.1


class Api(Cluster):
    """One connection for all threads of the plugin."""

    _lock: Lock
    cancelled: Event

    def prepare(self, cancelled: Event) -> None:
        """To be called once; `cancelled` ends what waits."""
        self._lock, self.cancelled = Lock(), cancelled

    def kind(self, api_version: str, kind: str) -> Kind | None:
        """As the product's, but a kind that is not there is asked for again: its CRD may be made in this run."""
        with self._lock:
            found = super().kind(api_version, kind)
            if found is None:
                del self._kinds[api_version]
            return found

    def serves(self, tree: Object) -> bool:
        return self.kind(str(tree["apiVersion"]), str(tree["kind"])) is not None

    def there(self, tree: Object) -> Object | None:
        """The live object; None also where the server does not know its kind."""
        return self._found("GET", self._of(tree)) if self.serves(tree) else None

    def dry_run(self, tree: Object, manager: str, *, force: bool) -> Object | None:
        """What an apply would make; None where the namespace is not there yet. Raises ConflictError and ClusterError."""
        return self._apply(tree, manager, force, {"dryRun": "All"})

    def apply(self, tree: Object, manager: str, *, force: bool) -> Object:
        """The object as it is then. What the kind or the namespace still lacks is waited for. Raises ConflictError and ClusterError."""
        end = monotonic() + _PATIENCE
        while (found := self._apply(tree, manager, force, {}) if self.serves(tree) else None) is None:
            if monotonic() > end or self.cancelled.wait(_PAUSE):
                self._of(tree)  # says so where it is the kind
                raise ClusterError(f'namespaces "{identity_of(tree)[1]}" not found', HTTPStatus.NOT_FOUND)
        return found

    def relinquish(self, tree: Object, manager: str) -> None:
        """The manager holds no field any more: those that were its alone go, the object stays. Raises ClusterError."""
        if self.there(tree) is not None:  # an apply would make it
            name, namespace = identity_of(tree)
            metadata: Object = {"name": name, **({"namespace": namespace} if namespace else {})}
            self._apply({"apiVersion": tree["apiVersion"], "kind": tree["kind"], "metadata": metadata}, manager, False, {})

    def delete(self, tree: Object) -> None:
        """What is gone, is gone; of what has finalizers others make an end. Raises ClusterError."""
        if self.serves(tree):
            self._found("DELETE", self._of(tree))

    def _apply(self, tree: Object, manager: str, force: bool, query: dict[str, str]) -> Object | None:
        query = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict", **query}
        return self._found("PATCH", self._of(tree), query, tree)

    def _of(self, tree: Object) -> str:
        name, namespace = identity_of(tree)
        return self.path(str(tree["apiVersion"]), str(tree["kind"]), namespace, name)

    @cached_property
    def _pool(self) -> PoolManager:
        pool = super()._pool
        pool.connection_pool_kw["maxsize"] = _THREADS
        return pool
