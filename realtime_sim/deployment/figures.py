"""Figures of a deployment: what several manifests need, each with the arithmetic it comes from.

A pod that is to go has `terminationGracePeriodSeconds` from the moment it is told so. Three things must fit into it,
one after the other: the pause until proxies have heard of it (`preStop`), the drain, and the goodbyes. The drain is the
longest of what the scenario says of it, and of the time that the other pods need to accept those who are sent away:
whoever is sent away faster waits in an accept queue.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from realtime_sim.deployment.reasons import Because
from realtime_sim.deployment.target import Target
from realtime_sim.limits.load import Load
from realtime_sim.limits.storm import storm
from realtime_sim.limits.table import number, plural
from realtime_sim.scenario import RollingDeploy, Scenario

__all__ = ["SCRAPE_S", "Deployed", "Figures", "bearable", "figures_of", "promise", "rolling_of"]

PROPAGATION_S = 5
"""Time until every proxy has heard that a pod is on its way out, a choice: EndpointSlices reach nodes in a second or
two, and SIGTERM does not wait for it (Kubernetes documentation, "Pod Lifecycle", termination)."""

GOODBYE_S = 10
"""Time after a drain for closing handshakes over slow networks and for the process to end, a choice."""

GROWTH = 2
"""Pods that the autoscaler may have at most, as a multiple of the answer, a choice: twice the clients."""

SCRAPE_S = 30
"""Time between two scrapes of Prometheus, the usual one."""

LEAST_SCRAPES, LONGEST_WINDOW_S = 4, 1_800
"""Scrapes in a window in which a storm is looked for, at least, so that one may be missed; and the longest window,
seconds: beyond it day and night differ. Choices."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the manifests have in common.

    Parameters
    ----------
    clients, pods, full_pods, most_pods : int
        Clients of all cohorts; pods to begin with, those there are when all clients are, and most there may be.
    each : Because
        Connections of one pod while all are well, an integer.
    spare_each : Because
        Connections of one pod while as many are dead as may be, an integer.
    drain : Because
        Time from the order to go until the last client is sent away, seconds, an integer.
    pre_stop : Because
        Time before that in which nothing happens, seconds, an integer.
    termination : Because
        All of it with the goodbyes, seconds, an integer.
    accepts_per_s : float or None
        Clients a second that one pod accepts beside its usual work; None if none, or any number.
    window : Because
        Time in which a storm is looked for, seconds, an integer.
    deploy_pods : int
        Pods that a deploy takes down in that time, if no budget holds it back.
    planned_per_s : Because
        Reconnections a second that a deploy makes, and connections that grow old.
    deploy : Because
        Time until a new version is everywhere, seconds.
    rolling : RollingDeploy
        How a new version goes out.
    rolling_why : str
        Where that comes from.
    """

    clients: int
    pods: int
    full_pods: int
    most_pods: int
    each: Because
    spare_each: Because
    drain: Because
    pre_stop: Because
    termination: Because
    accepts_per_s: float | None
    window: Because
    deploy_pods: int
    planned_per_s: Because
    deploy: Because
    rolling: RollingDeploy
    rolling_why: str

    @property
    def all_accept_per_s(self) -> float | None:
        """Clients a second that all pods accept; None if none, or any number."""
        return None if self.accepts_per_s is None else self.accepts_per_s * self.full_pods


@dataclass(frozen=True, slots=True)
class Deployed:
    """What every manifest, rule, note and snippet is written from.

    Parameters
    ----------
    scenario : Scenario
        What is deployed.
    figures : Figures
        Its figures.
    target : Target
        Where.
    """

    scenario: Scenario
    figures: Figures
    target: Target


def figures_of(scenario: Scenario) -> Figures:
    """The figures of a scenario at its `servers.count`.

    Parameters
    ----------
    scenario : Scenario
        What is deployed.

    Raises
    ------
    ScenarioError
        If sessions take no time at all.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="1min", clients=[{"name": "phones", "count": 1_000}],
    ...                 servers={"count": 4, "grace": "30s"})
    >>> found = figures_of(chat)
    >>> found.each.value, found.drain.value, found.termination.value
    (250, 30, 45)
    """
    clients, scaling = scenario.n_clients, scenario.autoscaling
    n, each = _full(scenario)
    lost = min(n - 1, promise(scenario, "survive_servers") or 0)
    rolling, rolling_why = rolling_of(scenario)
    shock = storm(Load(scenario), n, 1)
    window = _window(scenario, n)
    deploy_pods = _deploy_pods(scenario, n, rolling, window.value)
    spare = Because(
        max(each.value, math.ceil(clients / (n - lost))),
        f"{clients:,} clients on {plural(n - lost, 'pod')}: {n:,} less slo.survive_servers ({lost:,})",
    )
    drain = _drain(scenario, each.value, shock.accept_s if n > 1 else None)
    pause_s = max(PROPAGATION_S, math.ceil(scenario.balancer.detection))
    pre_stop = Because(
        pause_s,
        f"until no proxy sends anybody here any more: {PROPAGATION_S} s, a choice, or balancer.detection "
        f"({scenario.balancer.detection:g} s) if that is longer",
    )
    termination = Because(
        pause_s + drain.value + GOODBYE_S,
        f"{pause_s} s of preStop + {drain.value} s of drain + {GOODBYE_S} s for goodbyes and the end of the process; "
        f"the drain is {drain.why}",
    )
    return Figures(
        clients,
        scenario.servers.count,
        n,
        scaling.max_replicas if scaling else GROWTH * n,
        each,
        spare,
        drain,
        pre_stop,
        termination,
        accepts_per_s=shock.accepted_per_s,
        window=window,
        deploy_pods=deploy_pods,
        planned_per_s=_planned(scenario, deploy_pods * each.value, window.value, rolling, rolling_why),
        deploy=_deploy(scenario, n, drain.value, rolling),
        rolling=rolling,
        rolling_why=rolling_why,
    )


def rolling_of(scenario: Scenario) -> tuple[RollingDeploy, str]:
    """How a new version goes out, as the scenario's own fault says or by that fault's defaults; and which of them."""
    for i, one in enumerate(scenario.faults):
        if one.kind == "rolling_deploy":
            return one, f"faults[{i}], rolling_deploy"
    return RollingDeploy(kind="rolling_deploy", at=0), "the default of a rolling_deploy, as the scenario has none"


def _full(scenario: Scenario) -> tuple[int, Because]:
    """Pods when all clients are there, as many as an autoscaler on connections then has; and connections of each."""
    n, clients, scaling = scenario.servers.count, scenario.n_clients, scenario.autoscaling
    for i, metric in enumerate(scaling.metrics if scaling else ()):
        if metric.name == "connections":
            wanted = max(scaling.min_replicas, min(scaling.max_replicas, math.ceil(clients / metric.target)))
            return wanted, Because(math.ceil(metric.target), f"autoscaling.metrics[{i}].target")
    return n, Because(math.ceil(clients / n), f"{clients:,} clients / {plural(n, 'pod')}, servers.count")


def bearable(scenario: Scenario, n: int) -> int:
    """Servers of `n` that may die at once: as many as `slo.survive_servers` says, or one, but not all of them."""
    return min(n - 1, max(1, promise(scenario, "survive_servers") or 0))


def _window(scenario: Scenario, n: int) -> Because:
    """Time that holds a recovery and one scrape more, in whole scrapes."""
    promised_s, lost = promise(scenario, "recover_within"), bearable(scenario, n)
    back_s = promised_s
    if back_s is None:
        back_s = (storm(Load(scenario), n, lost).back_s if lost else None) or 0.0
    least_s = LEAST_SCRAPES * SCRAPE_S
    window_s = min(LONGEST_WINDOW_S, max(least_s, (math.ceil(back_s / SCRAPE_S) + 1) * SCRAPE_S))
    if window_s == least_s:
        return Because(window_s, f"{LEAST_SCRAPES} scrapes at the usual {SCRAPE_S} s")
    if window_s == LONGEST_WINDOW_S:
        return Because(window_s, "the longest that there is")
    source = f"until clients of {plural(lost, 'pod')} are back" if promised_s is None else "slo.recover_within"
    return Because(window_s, f"{back_s:,.3g} s, {source}, and a scrape")


def _deploy_pods(scenario: Scenario, n: int, rolling: RollingDeploy, window_s: int) -> int:
    """A Deployment does not wait for drains: the next pod goes as soon as a new one is ready."""
    startup_s = max(1.0, scenario.servers.startup)
    return min(n, max(1, rolling.surge + rolling.max_unavailable) * math.ceil(window_s / startup_s))


def _planned(scenario: Scenario, closed: int, window_s: int, rolling: RollingDeploy, rolling_why: str) -> Because:
    """What a deploy closes, `closed` connections in a window if nothing holds it back, and what grows old."""
    if rolling.budget is not None:
        per_s, why = rolling.budget, f"the budget of {rolling_why}"
    else:
        per_s = closed / window_s
        why = (
            f"which a deploy makes: {number(closed)} connections go in {window_s} s "
            f"({rolling_why}; servers.startup {scenario.servers.startup:g} s)"
        )
    if scenario.servers.connection_age is not None:
        ageing = scenario.n_clients / max(1.0, scenario.servers.connection_age.mean_s)
        per_s, why = per_s + ageing, f"{why}, and {number(ageing)}/s of them by servers.connection_age"
    return Because(per_s, why)


def _deploy(scenario: Scenario, n: int, drain_s: int, rolling: RollingDeploy) -> Because:
    """A new pod after the other, and the last drain; with a budget it waits for every drain."""
    steps = math.ceil(n / max(1, rolling.surge + rolling.max_unavailable))
    step_s = scenario.servers.startup + (0 if rolling.budget is None else drain_s)
    return Because(steps * step_s + drain_s, f"a deploy in {plural(steps, 'step')} of {step_s:g} s and a drain")


def _drain(scenario: Scenario, each: int, accept_s: float | None) -> Because:
    """The longest time that a drain may take, in whole seconds."""
    longest_s, why = max(_drains(scenario, each, accept_s), key=lambda pair: pair[0])
    return Because(math.ceil(longest_s), why)


def _drains(scenario: Scenario, each: int, accept_s: float | None) -> Iterator[tuple[float, str]]:
    yield scenario.servers.grace, f"servers.grace, {scenario.servers.grace:g} s"
    for i, one in enumerate(scenario.faults):
        if one.kind == "drain_server" and one.over is not None:
            yield one.over, f"faults[{i}].over, {one.over:g} s"
        if one.kind == "rolling_deploy" and one.budget is not None:
            at_once = max(1, one.surge + one.max_unavailable)
            time_s = each * at_once / one.budget
            at = f"faults[{i}].budget, {number(one.budget)}/s over {plural(at_once, 'pod')} at a time"
            yield time_s, f"{number(each)} connections at {at}: {time_s:,.3g} s"
    if accept_s:
        yield accept_s, f"what the other pods need to accept the clients of one beside their work: {accept_s:,.3g} s"


def promise(scenario: Scenario, name: str) -> float | None:
    """What `slo` promises under a name; None where it promises nothing."""
    return getattr(scenario.slo, name, None)
