"""Target: what a scenario does not know of the cluster that it is deployed to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.scenario import Scenario

__all__ = ["IMAGE", "Target", "label_of", "target_of"]

IMAGE = "realtime-server:1"
"""What stands where no image is given; no scenario knows one."""

_LONGEST_LABEL = 50
"""Of the 63 signs that a DNS label may have (RFC 1123), so that endings fit."""

_LABEL = r"[a-z]([-a-z0-9]*[a-z0-9])?"

_IMAGE = r"[A-Za-z0-9][A-Za-z0-9._/:@+-]*"
"""Signs of a reference to an image, host and digest included."""


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
        for path, value, most in (("name", self.name, _LONGEST_LABEL), ("namespace", self.namespace, 63)):
            if not isinstance(value, str) or len(value) > most or not re.fullmatch(_LABEL, value):
                rule = f"must be a DNS label of at most {most} signs that begins with a letter"
                yield Problem(path, rule, value, "use a-z, 0-9 and -, as in chat-eu")
        if not isinstance(self.image, str) or not re.fullmatch(_IMAGE, self.image):
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


def target_of(scenario: Scenario, *, namespace: str, name: str | None, port: int, image: str = IMAGE) -> Target:
    """Where a scenario is deployed; without a name one is made of its own.

    Parameters
    ----------
    scenario : Scenario
        What is deployed.
    namespace, name, port, image
        As for `Target`.

    Raises
    ------
    ScenarioError
        If it is no scenario, or Kubernetes would not take one of the others.
    """
    if not isinstance(scenario, Scenario):
        step = "make one with Scenario(...) or Scenario.from_yaml(...)"
        raise ScenarioError(Problem("scenario", "must be a Scenario", type(scenario).__name__, step))
    return Target(label_of(scenario.name) if name is None else name, namespace, image, port)


def label_of(name: str) -> str:
    """A name as Kubernetes takes it: a DNS label (RFC 1123), with room for an ending.

    Examples
    --------
    >>> label_of("Chat, over SSE!"), label_of("2 rooms"), label_of("...")
    ('chat-over-sse', 'rt-2-rooms', 'realtime')
    """
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if label and not label[0].isalpha():
        label = f"rt-{label}"  # names of services begin with a letter (RFC 1035)
    return label[:_LONGEST_LABEL].strip("-") or "realtime"
