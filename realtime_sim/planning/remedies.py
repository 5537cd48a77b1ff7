"""Remedies: what would help where more servers do not, tried by arithmetic and by theory's waits.

Each is one change to the scenario. Only those stand in a plan that help: with them some number of servers has room for
everybody, no loop and no broker has more to do than it may, and theory sees the promised latencies kept. The static
calculator asks for its own ceiling and for no latencies, so that it answers with the same number when it plans them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from realtime_sim.errors import ScenarioError
from realtime_sim.latency import QUANTILES
from realtime_sim.limits.table import plural
from realtime_sim.planning.arithmetic import Arithmetic
from realtime_sim.planning.words import value_text
from realtime_sim.profiles import PROFILES
from realtime_sim.scenario import Scenario

__all__ = ["Remedy", "remedies_of"]

SHARDS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
PARTITIONS = (12, 24, 48)

WORK = (*QUANTILES, "cpu", "utilization", "egress", "broker")
"""What arithmetic and theory know remedies for."""


@dataclass(frozen=True)
class Remedy:
    """One change to a scenario that helps.

    Parameters
    ----------
    changes : mapping of str to object
        As `Scenario.replace` takes them.
    scenario : Scenario
        The changed scenario; `plan` it to know.
    servers : int
        Servers that it needs by arithmetic and theory; to be simulated yet.
    what : str
        The change in words.
    figures : str
        What comes of it, by arithmetic.
    """

    changes: Mapping[str, object]
    scenario: Scenario
    servers: int
    what: str
    figures: str

    @property
    def text(self) -> str:
        """The change in words, and what comes of it."""
        return f"{self.what}: {self.figures}"


def remedies_of(
    scenario: Scenario, constraint: str, at_most: int, needed: int | None, target: float | None = None
) -> tuple[Remedy, ...]:
    """Every change that helps, of each kind the first that does, in the order in which they are cheap to make.

    Parameters
    ----------
    scenario : Scenario
        With its promises.
    constraint : str
        What is not met, or only just. Arithmetic knows remedies for work and for waiting, and for messages that are
        lost; for others, as a storm that takes too long, there is none here.
    at_most : int
        Most servers.
    needed : int or None
        Servers that the scenario needs as it is; a remedy must need fewer. None where no number suffices.
    target : float, optional
        The static calculator's ceiling, as for `Arithmetic`.
    """
    found = []
    kinds = _for_losses(scenario) if constraint == "lost ratio" else _kinds(scenario) if constraint in WORK else ()
    for variants in kinds:
        for changes, what in variants:
            remedy = _tried(scenario, changes, what, at_most, target)
            if remedy is not None and (needed is None or remedy.servers < needed):
                found.append(remedy)
                break
    return tuple(found)


def _tried(
    scenario: Scenario, changes: Mapping[str, object], what: str, at_most: int, target: float | None
) -> Remedy | None:
    try:
        changed = scenario.replace(**changes)
    except ScenarioError:  # faults that need a broker of another kind, or cohorts what the transport has not
        return None
    arithmetic = Arithmetic(changed, target)
    servers = arithmetic.promising(at_most)
    if servers is None:
        return None
    shares = {check.constraint: check.found for check in arithmetic.checks(servers)}
    loops = shares.get("cpu", shares.get("utilization"))
    busy = f", loops {value_text(loops, 'busy')} busy"
    busy += f", broker {value_text(shares['broker'], 'busy')}" if "broker" in shares else ""
    return Remedy(changes, changed, servers, what, f"{plural(servers, 'server')} by arithmetic{busy}")


def _for_losses(scenario: Scenario) -> Iterator[list[tuple[dict[str, object], str]]]:
    """A log that replays what clients have missed."""
    resume = {f"clients[{i}].resume": True for i in range(len(scenario.clients))}
    for kind, name in (("redis_streams", "Redis Streams"), ("kafka", "Kafka"), ("nats_jetstream", "JetStream")):
        changes = {} if scenario.broker.kind == kind else {"broker": {"kind": kind}}
        if not scenario.broker.has_log or not all(cohort.resumes for cohort in scenario.clients):
            yield [(changes | resume, f"{name} with clients that resume, who get what they have missed")]


def _kinds(scenario: Scenario) -> Iterator[list[tuple[dict[str, object], str]]]:
    """Changes by kind; of a kind the smaller change comes first."""
    broker = scenario.broker
    if broker.has_channels and broker.subscription == "all_servers":
        yield [({"broker.subscription": "per_room"}, "per-room subscriptions, so that only servers with members copy")]
    if hasattr(broker, "shards"):
        shards = [n for n in SHARDS if n > broker.shards]
        yield [({"broker.shards": n}, f"sharded Pub/Sub on {n} instances") for n in shards]
    if broker.kind == "kafka":
        partitions = [n for n in PARTITIONS if n > broker.partitions]
        yield [({"broker.partitions": n}, f"{n} partitions") for n in partitions]
    else:
        yield [({"broker": {"kind": "kafka", "partitions": n}}, f"Kafka with {n} partitions") for n in PARTITIONS]
    for kind, name in (("nats", "core NATS"), ("redis_streams", "Redis Streams"), ("nats_jetstream", "JetStream")):
        if broker.kind not in (kind, "none"):
            yield [({"broker": {"kind": kind}}, name)]
    polling = [i for i, cohort in enumerate(scenario.clients) if cohort.transport == "long_polling"]
    if polling:
        yield [({f"clients[{i}].transport": "websocket" for i in polling}, "WebSocket instead of long polling")]
    sends = {name: profile.costs.send_s for name, profile in PROFILES.items() if name != "zero"}
    faster = [name for name in sorted(sends, key=sends.__getitem__) if name != scenario.servers.profile]
    yield [({"servers.profile": name}, f"servers like {name}") for name in faster[:1]]
    if scenario.servers.workers == 1:
        yield [({"servers.workers": n}, f"{n} event loops a server") for n in (2, 4)]
