"""Three transports side by side: one scenario by WebSocket, SSE and long polling, and which of them fits."""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as ipw

from realtime_sim.agreement.words import value_text
from realtime_sim.choose import TransportChoice, choose_transport
from realtime_sim.demo import with_transport
from realtime_sim.plots import latency_cdf
from realtime_sim.plots.moving import png
from realtime_sim.profiles import PROFILES
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.quantities import docstring
from realtime_sim.simulation import engine_for, expected_deliveries, simulate
from realtime_sim.transports import TRANSPORTS
from realtime_sim.widgets.controls import STYLE, WIDE, chosen_fields, control_of, replaced
from realtime_sim.widgets.page import table
from realtime_sim.widgets.study import RUNS, Answer, Study

__all__ = ["NOTIFICATIONS", "transports"]

NOTIFICATIONS = Scenario(
    name="notifications",
    description="Five thousand people who are told something every second",
    seed=1,
    duration="10s",
    warmup="2s",
    clients=[{"name": "people", "count": 5_000, "network": {"rtt": {"median": "50ms", "p99": "300ms"}}}],
    servers={"count": 4, "max_connections": 10_000, "memory": "2GiB", "egress": "1 Gbit/s"},
    balancer={"affinity": "cookie"},
    broker={"kind": "redis_pubsub", "subscription": "per_room"},
    rooms=[{"name": "inbox", "per_user": True}],
    traffic=[{"name": "news", "to": "inbox", "rate": "5000/s", "payload": "300B"}],
)
"""What `transports` begins with unless it is given another; polls need the cookie."""

FLAGS = ("buffering_proxies", "proxies_block_upgrade", "mobile", "needs_resume")
"""Needs of `choose_transport` that are yes or no."""


def transports(
    scenario: Scenario | None = None, over: Sequence[str] | Mapping[str, Sequence[Any] | None] | None = None
) -> Study:
    """One scenario by each of the three transports, and their ranking for what is needed besides.

    Parameters
    ----------
    scenario : Scenario, optional
        Where the sliders begin; `NOTIFICATIONS` if left out. Its cohorts' own transports are not looked at.
    over : sequence of str, or mapping of str to sequence, optional
        As for `explore`.

    Returns
    -------
    Study
        Its `scenario` and its `results` are those of the transport that is ranked first.

    Raises
    ------
    ScenarioError
        If a path leads to no field that can be chosen.

    Examples
    --------
    >>> small = NOTIFICATIONS.replace(**{"clients.people.count": 50, "traffic.news.rate": 20, "duration": 3})
    >>> study = transports(small, over=["servers.count"])
    >>> study.controls["tabs_per_browser"].value = 8
    >>> study.results.scenario.clients[0].transport
    'websocket'
    """
    base = NOTIFICATIONS if scenario is None else scenario
    fields = chosen_fields(base, over)
    needs = _needs()
    controls = {field.path: control_of(field) for field in fields} | needs

    def asked() -> tuple[Scenario, TransportChoice]:
        here = replaced(base, fields, controls)
        choice = choose_transport(**_load(here), **{name: control.value for name, control in needs.items()})
        return with_transport(here, choice.best.name), choice

    def answer(here: Scenario, choice: TransportChoice, progress: Callable[[float], None]) -> Answer:
        runs: dict[str, Results] = {}
        for number, one in enumerate(choice.ranked):
            variant = with_transport(here, one.name)

            def part(share: float, number: int = number) -> None:
                progress((number + share) / len(choice.ranked))

            runs[one.name] = simulate(variant, engine=engine_for(variant, beside=RUNS)[0], progress=part)
        drawn = {name: runs[name] for name in TRANSPORTS}  # each keeps its colour, whatever its place
        alt = "Delivery latency by transport: " + ", ".join(
            f"{name} p99 {value_text(run.latency_s()['p99'].value, 's')}" for name, run in drawn.items()
        )
        return Answer(runs[choice.best.name], png(latency_cdf(drawn).figure), alt, _table(choice, runs))

    return Study(f"Transports for {base.name}", controls, asked, answer)


def _needs() -> dict[str, ipw.DOMWidget]:
    """Controls for what `choose_transport` asks besides the load; what each is, its docstring says."""
    defaults = {name: one.default for name, one in inspect.signature(choose_transport).parameters.items()}
    about = docstring(choose_transport)[1]

    def named(name: str) -> dict[str, Any]:
        words = name.replace("_", " ")
        return {"description": words, "tooltip": about[name], "style": STYLE, "layout": WIDE, "value": defaults[name]}

    controls: dict[str, ipw.DOMWidget] = {
        "http_version": ipw.Dropdown(options=["1.1", "2"], **named("http_version")),
        "tabs_per_browser": ipw.IntSlider(min=1, max=12, **named("tabs_per_browser")),
    }
    return controls | {name: ipw.Checkbox(**named(name)) for name in FLAGS}


def _load(scenario: Scenario) -> dict[str, Any]:
    """What one client gets and sends, means over all of them."""
    flows = [(stream, *scenario.flow(stream)) for stream in scenario.traffic]
    sent = sum(rate for stream, rate, _, _ in flows if not scenario.from_backend(stream)) / scenario.n_clients
    rtt_s = sum(cohort.count * cohort.network.rtt.mean_s for cohort in scenario.clients) / scenario.n_clients
    return {
        "direction": "both" if sent else "server_to_client",
        "messages_per_s": expected_deliveries(scenario) / scenario.duration / scenario.n_clients,
        "client_messages_per_s": sent,
        "payload": max((stream.payload for stream in scenario.traffic), default=0),
        "rtt": rtt_s,
        "profile": scenario.servers.profile if scenario.servers.profile in PROFILES else "websockets-asyncio",
    }


def _table(choice: TransportChoice, runs: Mapping[str, Results]) -> str:
    head = (
        "transport", "fits the needs", "p50", "p99", "deliveries missing", "busiest server", "bytes/s a client",
        "requests/s a client", "why",
    )  # fmt: skip
    rows = []
    for place, one in enumerate(choice.ranked, start=1):
        run = runs[one.name]
        latency = [value_text(run.latency_s()[name].value, "s") for name in ("p50", "p99")]
        total = run.deliveries.loc["total"]
        missing = f"{total['lost'] + total['dropped']:,} of {total['expected']:,}"
        busy = f"{run.servers['utilization'].max():.0%}"
        load = [f"{one.bytes_per_s:,.0f}", f"{one.requests_per_s:,.2f}"]
        why = "; ".join([*(f"breaks: {text}" for text in one.broken), *one.drawbacks, *one.advantages])
        rows.append([f"{place}. {one.name}", "yes" if one.suitable else "no", *latency, missing, busy, *load, why])
    decided = "".join(f"<p>{html.escape(text)}</p>" for text in (*choice.decided_by, *choice.notes))
    said = "".join(
        f"<p>Note, {one.name}: {html.escape(text)}</p>" for one in choice.ranked for text in runs[one.name].warnings
    )
    return table("Ranking, and what was simulated", head, rows) + decided + said
