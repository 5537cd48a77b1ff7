"""The Scenario: everything that is asked of a run, and nothing that happens in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from realtime_sim.scenario import problems, rules, text
from realtime_sim.scenario.autoscaling import Autoscaling
from realtime_sim.scenario.brokers import Broker, NoBroker
from realtime_sim.scenario.clients import Cohort, RoomGroup, Traffic, listed
from realtime_sim.scenario.faults import Fault
from realtime_sim.scenario.host import Host
from realtime_sim.scenario.quantities import Duration, Name, Part, PositiveDuration, Text, fault, faults
from realtime_sim.scenario.services import Event, Flow, Pipeline, Service, flow_of
from realtime_sim.scenario.system import Balancer, Servers, Slo

__all__ = ["Scenario"]


_LAST_SEED = 2**63 - 1
_Seed = Annotated[int, Field(ge=0, le=_LAST_SEED)]


def _read_seed(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LAST_SEED:
        raise fault("must be a whole number from 0 to 2**63 - 1", "use 0 or a positive integer")
    return value


class Scenario(Part):
    """A question about a real-time push system, frozen and complete: the same scenario always gives the same figures.

    Parameters
    ----------
    name : str
        What to call it in tables and files.
    description : str
        What it is about.
    seed : int
        From 0 to 2**63 - 1. Every draw follows from it.
    duration : float or str
        Simulated seconds with traffic, above 0.
    warmup : float or str, optional
        Seconds at the start that are left out of the figures; a tenth of the duration unless given.
    drain : float or str
        Seconds granted after the last publish for what is still under way.
    sample_interval : float or str
        Seconds between two samples of the time series, above 0.
    clients : list of Cohort or dict
        Who connects, over which transport and network.
    servers : Servers or dict
        The server processes they connect to.
    balancer : Balancer or dict
        How a new request finds a server.
    broker : Broker or dict
        What carries messages between the servers, told by its `kind`.
    host : Host or dict, optional
        The one machine that all processes share, clients included; left out, each has a core of its own.
    rooms : list of RoomGroup or dict
        Who hears what.
    events : list of Event or dict
        What happens in the business, and how often, where services work on it before anything is published.
    pipeline : Pipeline or dict
        How events reach the services.
    services : list of Service or dict
        What works on the events.
    traffic : list of Traffic or dict
        What is published, and how often.
    autoscaling : Autoscaling or dict, optional
        What adds servers, and takes them away.
    faults : list of Fault or dict
        What goes wrong, and when.
    slo : Slo or dict, optional
        What the service promises.

    Raises
    ------
    ScenarioError
        With one line for every field that is wrong.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="10s", clients=[{"name": "phones", "count": 100}],
    ...                 traffic=[{"name": "news", "rate": "2/s"}])
    >>> chat.replace(**{"servers.count": 8}).servers.count
    8
    >>> Scenario.from_yaml(chat.to_yaml()) == chat
    True
    """

    name: Name
    description: Text = ""
    seed: Annotated[int, BeforeValidator(_read_seed, json_schema_input_type=_Seed)] = 0
    duration: PositiveDuration
    warmup: Duration | None = None
    drain: Duration = 30.0
    sample_interval: PositiveDuration = 1.0
    clients: listed(Cohort, minimum=1)  # type: ignore[valid-type]
    servers: Servers = Servers()
    balancer: Balancer = Balancer()
    broker: Broker = NoBroker(kind="none")
    host: Host | None = None
    rooms: listed(RoomGroup) = ()  # type: ignore[valid-type]
    events: listed(Event) = ()  # type: ignore[valid-type]
    pipeline: Pipeline = Pipeline()
    services: listed(Service) = ()  # type: ignore[valid-type]
    traffic: listed(Traffic) = ()  # type: ignore[valid-type]
    autoscaling: Autoscaling | None = None
    faults: Annotated[tuple[Fault, ...], Field()] = ()
    slo: Slo | None = None

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise problems.scenario_error(error, type(self), data) from None

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        if broken := list(rules.broken(self)):
            raise faults(broken)
        return self

    @property
    def n_clients(self) -> int:
        """Clients of all cohorts."""
        return sum(cohort.count for cohort in self.clients)

    @property
    def warmup_s(self) -> float:
        """Seconds left out of the figures: `warmup`, or a tenth of `duration`."""
        return self.duration / 10 if self.warmup is None else self.warmup

    def flow(self, stream: Traffic) -> Flow:
        """Mean publishes a second of one of the streams, and from when to when, seconds.

        Of a stream that a service publishes it is what follows from the events.
        """
        return flow_of(self, stream)

    def from_backend(self, stream: Traffic) -> bool:
        """Whether the backend or one of its services publishes a stream, and no client."""
        return stream.source in ("backend", *(service.name for service in self.services))

    @classmethod
    def from_yaml(cls, source: str | Path) -> Scenario:
        """A scenario from a YAML file, or from YAML text.

        Parameters
        ----------
        source : str or Path
            A path, or text; a string with a line break or a colon and space is text.

        Raises
        ------
        ScenarioError
            If the file cannot be read, is no YAML, or breaks a rule of the scenario.
        """
        return text.load(cls, source)

    def to_yaml(self) -> str:
        """YAML text that `from_yaml` reads back to an equal scenario; fields at their default are left out."""
        return text.dump(self)

    def replace(self, **changes: object) -> Scenario:
        """A new scenario with some fields changed, addressed by dotted paths.

        Parts of a list go by number or by name, a name first: `clients[0].count` is `clients.phones.count`. What is
        not written yet starts from its default.

        Raises
        ------
        ScenarioError
            If a path leads nowhere or the result breaks a rule.

        Examples
        --------
        >>> chat = Scenario(name="chat", duration="1s", clients=[{"name": "phones", "count": 100}])
        >>> chat.replace(**{"clients.phones.count": 7, "seed": 3}).n_clients
        7
        """
        return text.replace(self, changes)

    def to_plain(self) -> dict[str, Any]:
        """The scenario as dicts, lists, numbers and text, as YAML and JSON hold it."""
        return text.plain(self)

    @classmethod
    def json_schema(cls) -> Mapping[str, Any]:
        """JSON Schema (draft 2020-12) of a scenario file, for editors that complete and check YAML.

        It knows every rule of a single field. What no schema can express, only reading the file finds: rules between
        fields, such as names that must exist or times that must be in order, and bounds on text with a unit.
        """
        return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | cls.model_json_schema(by_alias=True)
