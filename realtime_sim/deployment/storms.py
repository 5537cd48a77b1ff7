"""Storms: how many handshakes in how long a time are more than what a deployment is prepared for.

Servers count whom they let in; whether a client has been there before only the client knows. So a storm is looked for
in handshakes: more of them in a window than usual arrivals and a planned loss make, or most of them failing for longer
than a recovery takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from realtime_sim.deployment.figures import SCRAPE_S, Figures, bearable, promise
from realtime_sim.limits.load import Load
from realtime_sim.limits.table import number, plural
from realtime_sim.scenario import Scenario
from realtime_sim.units import format_duration

__all__ = ["Watch", "since", "watch_of"]

NOISE = 5
"""Standard deviations of usual arrivals, a Poisson process, that are no storm: one window in 3.5 million has more."""


@dataclass(frozen=True, slots=True)
class Watch:
    """When handshakes are a storm.

    Parameters
    ----------
    threshold : int
        Handshakes in the window beyond which it is one.
    arithmetic : str
        How that comes about.
    fewest_failing : int
        Handshakes in the window that must fail before failing is anybody's business.
    failing_s : int
        Time for which most handshakes must fail, seconds.
    patience : str
        Where that comes from.
    deploy_clients, quiet_clients : float
        Clients that a deploy brings back in the window, and how many it may bring back without being taken for a storm.
    """

    threshold: int
    arithmetic: str
    fewest_failing: int
    failing_s: int
    patience: str
    deploy_clients: float
    quiet_clients: float

    @property
    def deploy_is_storm(self) -> bool:
        """Whether a deploy looks like a storm."""
        return self.deploy_clients > self.quiet_clients


def since(name: str, of: str, window_s: int) -> str:
    """How much a counter of all pods has grown in a window, in PromQL.

    `increase` would not do: it stretches what it saw to the edges of the window, by a third at four scrapes, and it
    leaves out what a new pod had counted before its first scrape. So the value now less the one then; all of it where
    a pod is new or has started anew, unless nobody was scraped then.

    Parameters
    ----------
    name : str
        Of the counter.
    of : str
        Labels to select by, in braces.
    window_s : int
        Seconds.

    Examples
    --------
    >>> print(since("x_total", "", 120).replace(" or ", "\\n  or "))
    sum((x_total - x_total offset 120s unless resets(x_total[150s]) > 0)
      or (x_total and on() x_total offset 120s))
    """
    now, then = f"{name}{of}", f"{name}{of} offset {window_s}s"
    restarted = f"resets({now}[{window_s + SCRAPE_S}s]) > 0"
    return f"sum(({now} - {then} unless {restarted}) or ({now} and on() {then}))"


def watch_of(scenario: Scenario, figures: Figures) -> Watch:
    """The thresholds of a scenario.

    Parameters
    ----------
    scenario : Scenario
        What is deployed.
    figures : Figures
        Its figures.

    Examples
    --------
    >>> from realtime_sim.deployment.figures import figures_of
    >>> chat = Scenario(name="chat", duration="1min", clients=[{"name": "phones", "count": 1_000}],
    ...                 servers={"count": 4})
    >>> watch_of(chat, figures_of(chat)).threshold  # the clients of one pod of 250, and half as many
    375
    """
    clients, n, window_s = figures.clients, figures.full_pods, figures.window.value
    each, lost = clients / n, bearable(scenario, n)
    usual, usual_why = _usual(scenario, window_s)
    planned, planned_why = each * lost, f"{number(each * lost)} clients of {plural(lost, 'pod')} that may die"
    if not lost:
        planned_why = "0, for the only pod takes everybody with it"
    deploy, budget = _deploy_clients(figures, each), figures.rolling.budget
    if budget is not None and planned < deploy < clients - each / 2:
        planned, planned_why = deploy, f"{number(deploy)} clients that a deploy brings back ({figures.rolling_why})"
    noise = NOISE * math.sqrt(usual)
    margin, margin_why = each / 2, "half of what one pod more brings"
    if noise > margin:
        margin, margin_why = noise, f"{NOISE} standard deviations of the usual"
    if margin > (clients - planned) / 2:
        margin, margin_why = (clients - planned) / 2, "half of those who are left"
    threshold = math.floor(usual + planned + margin)
    arithmetic = (
        f"In {figures.window.value} s ({figures.window.why}): {usual_why} + {planned_why} + {number(margin)}, "
        f"{margin_why}, is {threshold:,}. All {clients:,} clients at once make {number(usual + clients)}"
    )
    patience_s, patience = _patience(scenario, figures)
    return Watch(
        threshold,
        arithmetic,
        max(1, math.ceil(each / 2)),
        math.ceil(patience_s) + window_s,
        f"{patience}, and the window of {window_s} s",
        deploy,
        planned + margin,
    )


def _usual(scenario: Scenario, window_s: int) -> tuple[float, str]:
    """Handshakes in the window while all is well."""
    sessions, age = sum(Load(scenario).churn), scenario.servers.connection_age
    ageing = 0.0 if age is None else scenario.n_clients / max(1.0, age.mean_s)
    usual = (sessions + ageing) * window_s
    parts = [f"{number(sessions)}/s of clients.session"] if sessions else []
    parts += [f"{number(ageing)}/s of servers.connection_age"] if ageing else []
    return usual, f"{number(usual)} handshakes as usual ({' and '.join(parts) or 'nobody comes or goes'})"


def _deploy_clients(figures: Figures, each: float) -> float:
    """Clients that a deploy brings back in a window."""
    if figures.rolling.budget is not None:
        return min(figures.clients, figures.rolling.budget * figures.window.value)
    return figures.deploy_pods * each


def _patience(scenario: Scenario, figures: Figures) -> tuple[float, str]:
    """How long a recovery may take, seconds, and who says so."""
    promised_s = promise(scenario, "recover_within")
    if promised_s is not None:
        return promised_s, f"slo.recover_within, {format_duration(promised_s)}"
    return figures.window.value, f"{figures.window.value} s, as slo.recover_within is not set"
