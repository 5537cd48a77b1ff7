"""Reconnect storms: everybody comes back at once, by one policy and by another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as ipw

from realtime_sim.agreement.words import value_text
from realtime_sim.backoffs import BackoffComparison, compare_backoff
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.plots import storm as draw_storm
from realtime_sim.plots.moving import png
from realtime_sim.policies import backoff
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.quantities import written_name
from realtime_sim.simulation import engine_for
from realtime_sim.widgets.controls import STYLE, WIDE, chosen_fields, control_of, replaced
from realtime_sim.widgets.fields import Field, field_of
from realtime_sim.widgets.page import table
from realtime_sim.widgets.study import RUNS, Answer, Study

__all__ = ["STORM", "storm"]

STORM = Scenario(
    name="storm",
    description="Ten thousand phones lose their connections at once, and eight servers let them in again",
    seed=5,
    duration="60s",
    warmup="1s",
    clients=[
        {
            "name": "phones",
            "count": 10_000,
            "network": {"rtt": {"median": "40ms", "p99": "120ms"}},
            "reconnect": "fixed",
            "connect_timeout": "2s",
        }
    ],
    servers={"count": 8, "backlog": 400, "costs": {"handshake": "6ms"}},
    broker={"kind": "redis_pubsub"},
    traffic=[{"name": "heartbeat", "to": "everyone", "rate": "0.2/s", "arrivals": "constant"}],
    faults=[{"at": "10s", "kind": "drop_clients", "cohort": "phones"}],
)
"""What `storm` begins with unless it is given another. 1,333 handshakes a second against 10,000 clients."""

STORM_FIELDS = ("servers.count", "servers.costs.handshake", "servers.backlog")
"""What is asked about besides the clients."""

DONORS = {"base": "full_jitter", "cap": "full_jitter", "delay": "fixed"}
"""Parameters of policies that have a slider, and a policy that has each."""

HAPPENS = ("everybody is cut off", "one server dies", "all servers restart")
RESTART_S = 5.0
LONG_ENOUGH_S = 60.0
"""Measured time in which a storm is looked at, where the scenario has none of its own: clients wait up to 30 s."""


def storm(
    scenario: Scenario | None = None,
    policy: str | None = None,
    against: str = "full_jitter",
    over: Sequence[str] | Mapping[str, Sequence[Any] | None] | None = None,
) -> Study:
    """Everybody reconnects: attempts against what servers can accept, and who is back, by one policy and another.

    Parameters
    ----------
    scenario : Scenario, optional
        Where the sliders begin; `STORM` if left out. Its first fault is the storm; one without faults gets a choice of
        some in the middle of its run.
    policy : str, optional
        Name of the backoff policy that is looked at first; that of the first cohort if left out.
    against : str
        Name of the policy that it is compared with.
    over : sequence of str, or mapping of str to sequence, optional
        As for `explore`.

    Returns
    -------
    Study
        Its `scenario` has the policy that is looked at, its `results` are those of that policy.

    Raises
    ------
    ScenarioError
        If there is no such policy, or a path leads to no field that can be chosen.

    Examples
    --------
    >>> small = STORM.replace(**{"clients.phones.count": 200, "duration": "20s", "faults[0].at": "2s"})
    >>> study = storm(small, "equal_jitter", over=["servers.count"])
    >>> study.scenario.clients[0].reconnect
    EqualJitter(base_s=1.0, cap_s=30.0)
    """
    base = STORM if scenario is None else scenario
    for argument, name in {"policy": policy, "against": against}.items():
        if name not in list(backoff.REGISTRY) and not (argument == "policy" and name is None):
            step = nearest(str(name), backoff.REGISTRY)
            raise ScenarioError(Problem(argument, "must be the name of a backoff policy", name, step))
    fields = chosen_fields(base, _storm_fields(base) if over is None else over)
    about = field_of(base, "clients[0].reconnect").help
    own = base.clients[0].backoff
    parameters = {name: _parameter(base, own, name) for name in DONORS}
    controls: dict[str, ipw.DOMWidget] = {}
    if not base.faults:
        controls["what happens"] = _dropdown("what happens", list(HAPPENS), HAPPENS[0], "What cuts clients off.")
    controls["policy"] = _dropdown("policy", list(backoff.REGISTRY), policy or _name_of(own), about)
    controls |= {name: control_of(field) for name, field in parameters.items()}
    controls["against"] = _dropdown("compared with", list(backoff.REGISTRY), against, about)
    controls |= {field.path: control_of(field) for field in fields}

    def written(name: str) -> dict[str, Any]:
        """A policy with the parameters of the sliders that it has."""
        chosen = {key: parameters[key].choices[controls[key].value][1] for key in _parameters_of(name)}
        return {"policy": name, **chosen}

    def asked() -> tuple[Scenario, dict[str, Any]]:
        names = dict.fromkeys((controls["policy"].value, controls["against"].value))
        for key in parameters:
            controls[key].disabled = not any(key in _parameters_of(name) for name in names)
        policies = {name: written(name) for name in names}
        here = replaced(base, fields, controls)
        if not base.faults:
            here = here.replace(warmup=here.warmup_s, duration=max(here.duration, here.warmup_s + LONG_ENOUGH_S))
            here = here.replace(faults=_faults(here, controls["what happens"].value))
        first = next(iter(policies.values()))
        return here.replace(**{f"clients[{i}].reconnect": first for i in range(len(here.clients))}), policies

    def answer(here: Scenario, policies: dict[str, Any], progress: Callable[[float], None]) -> Answer:
        found = compare_backoff(here, policies, engine=engine_for(here, beside=RUNS)[0], progress=progress)
        figure = draw_storm(found.results, found.fault, zoom=True)
        verdicts = "; ".join(f"{name}: {text}" for name, text in found.frame["verdict"].items())
        alt = f"Attempts to connect, and clients that are back, over time. {verdicts}."
        return Answer(next(iter(found.results.values())), png(figure), alt, _table(found))

    return Study(f"Reconnect storm: {base.name}", controls, asked, answer)


def _storm_fields(scenario: Scenario) -> list[str]:
    cohorts = [f"clients.{cohort.name}.{name}" for cohort in scenario.clients for name in ("count", "connect_timeout")]
    return [*cohorts, *STORM_FIELDS]


def _dropdown(label: str, options: list[str], value: str, about: str) -> ipw.Dropdown:
    return ipw.Dropdown(options=options, value=value, description=label, tooltip=about, style=STYLE, layout=WIDE)


def _name_of(policy: Any) -> str:
    return next(name for name, cls in backoff.REGISTRY.items() if type(policy) is cls)


def _parameters_of(name: str) -> list[str]:
    """Parameters with a slider; the defaults of known clients are left as their sources have them."""
    cls = backoff.REGISTRY[name]
    if cls.__module__ != backoff.__name__:
        return []
    known = [written_name(field.name) for field in dataclasses.fields(cls)]
    return [key for key in DONORS if key in known]


def _parameter(scenario: Scenario, own: Any, name: str) -> Field:
    """A parameter of policies: that of the scenario's own policy where it has one, or else the default."""
    has_it = name in _parameters_of(_name_of(own))
    field = field_of(
        scenario.replace(**{"clients[0].reconnect": own if has_it else DONORS[name]}), f"clients[0].reconnect.{name}"
    )
    return dataclasses.replace(field, path=name, label=name)


def _faults(scenario: Scenario, happens: str) -> list[dict[str, Any]]:
    """What cuts clients off, a quarter into the measured time."""
    at = scenario.warmup_s + (scenario.duration - scenario.warmup_s) / 4
    if happens == HAPPENS[0]:
        return [{"at": at, "kind": "drop_clients", "cohort": cohort.name} for cohort in scenario.clients]
    dies = {"at": at, "kind": "kill_server", "server": 0}
    return [dies if happens == HAPPENS[1] else dies | {"count": scenario.servers.count, "restart_after": RESTART_S}]


def _table(found: BackoffComparison) -> str:
    head = (
        "policy",
        "half are back",
        "all are back",
        "attempts",
        "at most a second",
        "of what servers accept",
        "wasted",
        "verdict",
    )
    rows = []
    for name, row in found.frame.iterrows():
        back = ["not by the end" if math.isinf(row[key]) else value_text(row[key], "s") for key in ("p50_s", "p100_s")]
        share = [
            f"{row['peak_to_capacity']:,.1f} times",
            "-" if math.isnan(row["wasted_ratio"]) else f"{row['wasted_ratio']:.0%}",
        ]
        rows.append(
            [name, *back, f"{row['attempts']:,.0f}", f"{row['peak_attempts_per_s']:,.0f}", *share, row["verdict"]]
        )
    return table("The storm", head, rows)
