"""Drills: the runs that judge one number of servers, each an ordinary scenario, and how long they take.

Up to three for each number n, all with the scenario's seed, so that neighbours share every other draw:

- `normal`: the scenario as written, with n servers.
- `loss`, where `slo.survive_servers` is k: its faults are left out; k servers die at once, as soon as the start has
  settled, and stay dead. From the moment at which recovery is due (`recover_within`, or 30 s) the others have to keep
  every promise: the warm-up ends there. What is lost or late until then is held against none of them, as no number of
  servers prevents it: `outages` shows it; `recover_within` itself is judged by the storm.
- `deploy`, where `slo.survive_deploy` is set: its faults are left out; every server is replaced, by the first
  `rolling_deploy` of the scenario or one with the defaults. Every promise holds throughout.

How long: a run measures until 2,000 deliveries are expected beyond the rarest quantile that is promised, for 500
relaxation times of a loop (what a queue needs to forget, from theory) and for 200 publishes of the rarest stream, but
at first no more than 4 million deliveries, and never more than the scenario's own measured time. The start has settled
after a hundred relaxation times, 2 s at least, at most the scenario's own warm-up. Times that are chosen so are whole
seconds, as people read them. A scenario in which something has
its hour (a fault, a stream that starts or stops, a ramp-up) is run as written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from realtime_sim.latency import QUANTILES
from realtime_sim.planning.arithmetic import Arithmetic
from realtime_sim.scenario import RollingDeploy, Scenario, Slo
from realtime_sim.simulation import expected_deliveries

__all__ = ["Lengths", "drills_of", "lengths_of", "recovery_due_s"]

BEYOND, RELAXATIONS, PUBLISHES = 2_000, 500, 200
MOST_DELIVERIES = 4e6
SETTLED_RELAXATIONS, SETTLED_S = 100, 2.0
RECOVERY_DUE_S = 30.0
"""Where no recovery is promised: from then on the survivors are judged."""

MEASURED_S = 2.0
"""The least that is measured."""

SAMPLES = 20
"""The least samples of the measured time."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the parts of a drill take, seconds.

    Parameters
    ----------
    settle_s : float
        From the start until nothing is left of it.
    recover_s : float
        From the loss of servers until recovery is due.
    measured_s : float
        What counts after that.
    own_s : float
        The measured time of the scenario itself, the most that `measured_s` may be.
    timed : bool
        Whether something has its hour, so that `normal` is run as written.
    """

    settle_s: float
    recover_s: float
    measured_s: float
    own_s: float
    timed: bool

    @property
    def longer(self) -> Lengths | None:
        """Four times as much measured, or all there is; None where that is done already."""
        if self.timed or self.measured_s >= self.own_s:
            return None
        return Lengths(self.settle_s, self.recover_s, min(4 * self.measured_s, self.own_s), self.own_s, False)


def recovery_due_s(slo: Slo) -> float:
    """Seconds from a loss of servers until the others are held to the promises.

    Parameters
    ----------
    slo : Slo
        The promises.

    Examples
    --------
    >>> recovery_due_s(Slo(recover_within="5s", survive_servers=1)), recovery_due_s(Slo(survive_servers=1))
    (5.0, 30.0)
    """
    return RECOVERY_DUE_S if slo.recover_within is None else slo.recover_within


def lengths_of(arithmetic: Arithmetic, n: int) -> Lengths:
    """The lengths for a scenario, by the rule at the head of the module.

    Parameters
    ----------
    arithmetic : Arithmetic
        Of the scenario.
    n : int
        Servers whose loops set the pace: about those that will be needed.
    """
    scenario = arithmetic.scenario
    slo, own_s = scenario.slo, scenario.duration - scenario.warmup_s
    recover_s = recovery_due_s(slo)
    if _has_its_hour(scenario):
        return Lengths(scenario.warmup_s, recover_s, own_s, own_s, timed=True)
    per_s = expected_deliveries(scenario) / scenario.duration
    relaxation_s = _relaxation_s(arithmetic, n)
    rarest = max((p for name, p in QUANTILES.items() if getattr(slo, name) is not None), default=QUANTILES["p99"])
    needed_s = [MEASURED_S, RELAXATIONS * relaxation_s]
    needed_s += [BEYOND / (1 - rarest) / per_s] if per_s else []
    needed_s += [PUBLISHES / stream.rate for stream in arithmetic.load.streams]
    most_s = max(MEASURED_S, math.floor(MOST_DELIVERIES / per_s)) if per_s else MEASURED_S
    settle_s = min(scenario.warmup_s, math.ceil(max(SETTLED_S, SETTLED_RELAXATIONS * relaxation_s)))
    return Lengths(settle_s, recover_s, min(math.ceil(max(needed_s)), most_s, own_s), own_s, timed=False)


def _relaxation_s(arithmetic: Arithmetic, n: int) -> float:
    """What one loop needs to forget: (1 + cv^2) s / 2 (1 - rho)^2, the heavy-traffic time of M/G/1 with service s."""
    rate, service_s, cv = arithmetic.loop(n)
    idle = max(1 - rate * service_s, 0.02)
    return (1 + cv * cv) * service_s / 2 / idle**2


def _has_its_hour(scenario: Scenario) -> bool:
    streams = (*scenario.traffic, *scenario.events)
    return (
        bool(scenario.faults)
        or any(stream.start or stream.stop is not None for stream in streams)
        or any(cohort.ramp_up for cohort in scenario.clients)
    )


def drills_of(scenario: Scenario, servers: int, lengths: Lengths | None = None) -> dict[str, Scenario]:
    """The runs that judge so many servers, by name, each one to `simulate`.

    Parameters
    ----------
    scenario : Scenario
        With an `slo`.
    servers : int
        How many.
    lengths : Lengths, optional
        How long the parts take; by the rule at the head of the module if left out.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="60s", clients=[{"name": "phones", "count": 100}],
    ...                 traffic=[{"name": "news", "rate": "20/s"}],
    ...                 slo={"p99": "100ms", "recover_within": "10s", "survive_servers": 1})
    >>> {name: (drill.duration, drill.warmup) for name, drill in drills_of(chat, 3).items()}
    {'normal': (56.0, 2.0), 'loss': (66.0, 12.0)}
    """
    lengths = lengths or lengths_of(Arithmetic(scenario), servers)
    slo, settle_s, measured_s = scenario.slo, lengths.settle_s, lengths.measured_s
    judged = {"servers.count": servers, "slo.survive_servers": None, "slo.survive_deploy": False}
    samples = min(scenario.sample_interval, measured_s / SAMPLES)

    def drill(warmup_s: float, until_s: float, **changes: object) -> Scenario:
        times = {"duration": until_s, "warmup": warmup_s, "sample_interval": samples}
        return scenario.replace(**judged, **times, **changes)

    normal = scenario.replace(**judged) if lengths.timed else drill(settle_s, settle_s + measured_s)
    drills = {"normal": normal}
    if slo.survive_servers:
        due_s = settle_s + lengths.recover_s
        dies = {"kind": "kill_server", "at": settle_s, "server": 0, "count": slo.survive_servers}
        drills["loss"] = drill(due_s, due_s + measured_s, faults=[dies])
    if slo.survive_deploy:
        deploy = _deploy_of(scenario).model_copy(update={"at": settle_s})
        until_s = settle_s + max(math.ceil(_deploy_s(scenario, deploy, servers) + lengths.recover_s), measured_s)
        drills["deploy"] = drill(settle_s, until_s, faults=[deploy])
    return drills


def _deploy_of(scenario: Scenario) -> RollingDeploy:
    given = [fault for fault in scenario.faults if fault.kind == "rolling_deploy"]
    return given[0] if given else RollingDeploy(kind="rolling_deploy", at=0)


def _deploy_s(scenario: Scenario, deploy: RollingDeploy, servers: int) -> float:
    """The longest that a deploy takes: batch after batch starts up, and the last of them, or each, is drained."""
    at_once = max(1, deploy.surge + deploy.max_unavailable)
    batches = math.ceil(servers / at_once)
    if deploy.budget is None:
        return batches * scenario.servers.startup + scenario.servers.grace
    return batches * (scenario.servers.startup + scenario.n_clients / servers * at_once / deploy.budget)
