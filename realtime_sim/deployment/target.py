"""Target: what a scenario does not know of the cluster that it is deployed to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from realtime_sim.errors import Problem, ScenarioError

__all__ = ["Target"]

_LABEL = r"[a-z]([-a-z0-9]*[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class Target:
    """Names and the port.

    Parameters
    ----------
    name : str
        Of the objects, a DNS label of at most 50 signs that begins with a letter.
    namespace : str
        Where they are.
    image : str
        What the pods run.
    port : int
        Where the server in it listens, for clients, `/healthz` and `/metrics`.

    Raises
    ------
    ScenarioError
        If Kubernetes would not take one of them.
    """

    name: str
    namespace: str
    image: str
    port: int

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ScenarioError(problems)

    def _problems(self) -> Iterator[Problem]:
        for path, value, most in (("name", self.name, 50), ("namespace", self.namespace, 63)):
            if not isinstance(value, str) or len(value) > most or not re.fullmatch(_LABEL, value):
                rule = f"must be a DNS label of at most {most} signs that begins with a letter"
                yield Problem(path, rule, value, "use a-z, 0-9 and -, as in chat-eu")
        if not isinstance(self.image, str) or not re.fullmatch(r"\S+", self.image):
            yield Problem("image", "must be the name of an image", self.image, "write it like chat-server:1.4")
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 1 <= self.port <= 65_535:
            yield Problem("port", "must be from 1 to 65_535", self.port, "use the port that the server listens on")

    @property
    def labels(self) -> dict[str, str]:
        """What selects the pods (Kubernetes documentation, "Recommended Labels")."""
        return {"app.kubernetes.io/name": self.name}

    @property
    def pods_host(self) -> str:
        """What DNS resolves to the addresses of all pods that are ready."""
        return f"{self.name}-pods.{self.namespace}.svc.cluster.local"

    def metadata(self, ending: str = "") -> dict[str, object]:
        """The metadata of an object."""
        return {"name": f"{self.name}{ending}", "namespace": self.namespace, "labels": self.labels}
