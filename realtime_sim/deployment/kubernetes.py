"""Manifests: all objects of a deployment by the names of their files, with reasons and notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from realtime_sim.deployment.alerts import rules
from realtime_sim.deployment.figures import Deployed, figures_of
from realtime_sim.deployment.notes import notes_of, shortfall
from realtime_sim.deployment.pods import budget, deployment, services
from realtime_sim.deployment.reasons import commented, markdown, plain, reasons, shown
from realtime_sim.deployment.scaling import autoscaler
from realtime_sim.deployment.target import IMAGE, target_of
from realtime_sim.files import check_writable, write_whole
from realtime_sim.scenario import Scenario

__all__ = ["Manifests", "manifests"]


@dataclass(frozen=True, slots=True)
class Manifests(Mapping[str, dict[str, Any]]):
    """A mapping of file names to objects of Kubernetes as plain dicts.

    Parameters
    ----------
    about : str
        What they are for, in one line.
    objects : mapping of str to dict
        File name to the object, each value that is not a matter of course with its reason.
    notes : tuple of str
        What the scenario says and they cannot.
    short : str
        What static limits say against so many servers, one sentence of the notes; nothing where they are met.
    """

    about: str
    objects: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]
    short: str = ""

    def __getitem__(self, file: str) -> dict[str, Any]:
        return plain(self.objects[file])

    def __iter__(self) -> Iterator[str]:
        return iter(self.objects)

    def __len__(self) -> int:
        return len(self.objects)

    def reasons(self, file: str) -> dict[tuple[str | int, ...], str]:
        """Where the values of a file come from, by the path of each."""
        return reasons(self.objects[file])

    def yaml(self, file: str | None = None) -> str:
        """The YAML of one file, or of all of them in one, with the reasons as comments.

        Parameters
        ----------
        file : str, optional
            One of the names.
        """
        if file is not None:
            return commented(self.objects[file])
        return "---\n".join(f"# {name}\n{self.yaml(name)}" for name in self)

    def write(self, folder: str | Path) -> list[Path]:
        """Write every file, and `notes.md`, into a folder.

        Parameters
        ----------
        folder : str or Path
            It is made if it is not there.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ScenarioError
            If a file cannot be written; then none is.
        """
        texts = {name: f"# {shown(self.about)}\n{self.yaml(name)}" for name in self}
        texts["notes.md"] = self.notes_text
        paths = {name: Path(folder) / name for name in texts}
        for path in paths.values():
            check_writable(path)
        for name, path in paths.items():
            write_whole(path, texts[name])
        return list(paths.values())

    @property
    def notes_text(self) -> str:
        """The notes as Markdown."""
        lines = ["# What these files leave to others", "", f"{markdown(self.about)}. By field of the scenario:", ""]
        return "\n".join([*lines, *(f"- {markdown(note)}" for note in self.notes)]) + "\n"

    def __str__(self) -> str:
        return "\n".join([self.about, "", *self, "", *(f"- {note}" for note in self.notes)])


def manifests(
    scenario: Scenario,
    *,
    image: str = IMAGE,
    namespace: str = "default",
    name: str | None = None,
    port: int = 8080,
    planned: bool = False,
) -> Manifests:
    """Kubernetes manifests for a scenario at its `servers.count`, and the Prometheus rules that watch it.

    A Deployment, a Service and one that names every pod, a HorizontalPodAutoscaler on connections a pod, a
    PodDisruptionBudget and a PrometheusRule. `Plan.to_kubernetes` calls it with the planned scenario.

    Parameters
    ----------
    scenario : Scenario
        What is deployed.
    image : str
        What the pods run.
    namespace : str
        Where they are.
    name : str, optional
        Of the objects; made from the scenario's name if left out.
    port : int
        Where the server listens, for clients, `/healthz` and `/metrics`.
    planned : bool
        Whether `plan` has found that `servers.count` is enough; then the notes do not hold against it that loops are
        busier than `limits` would have them.

    Returns
    -------
    Manifests
        By file name; `.yaml()` and `.write(folder)` have the reasons as comments.

    Raises
    ------
    ScenarioError
        If Kubernetes would not take a name, the image or the port.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="1min", clients=[{"name": "phones", "count": 1_000}],
    ...                 servers={"count": 4})
    >>> made = manifests(chat, image="chat-server:1.4")
    >>> list(made)
    ['deployment.yaml', 'service.yaml', 'service-pods.yaml', 'autoscaler.yaml', 'disruption-budget.yaml', 'alerts.yaml']
    >>> made["deployment.yaml"]["spec"]["replicas"]
    4
    >>> made["autoscaler.yaml"]["spec"]["metrics"][0]["pods"]["target"]["averageValue"]
    '250'
    """
    target = target_of(scenario, namespace=namespace, name=name, port=port, image=image)
    deployed = Deployed(scenario, figures_of(scenario), target)
    objects = {
        "deployment.yaml": deployment(deployed),
        **services(deployed),
        "autoscaler.yaml": autoscaler(deployed),
        "disruption-budget.yaml": budget(deployed),
        "alerts.yaml": rules(deployed),
    }
    about = f"{scenario.name}: {scenario.n_clients:,} clients on {scenario.servers.count:,} pods"
    short = shortfall(scenario, deployed.figures, planned)
    return Manifests(about, MappingProxyType(objects), notes_of(deployed, short), short)
