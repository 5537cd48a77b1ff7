"""The explorer: sliders for the fields of a scenario, and what follows from them for latency, servers and limits."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from realtime_sim.agreement.words import value_text
from realtime_sim.limits import Limits, server_limits
from realtime_sim.limits.table import plural
from realtime_sim.plots.moving import MovingFigure
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import engine_for, simulate
from realtime_sim.tables import VERDICTS
from realtime_sim.widgets.controls import chosen_fields, control_of, replaced
from realtime_sim.widgets.page import table
from realtime_sim.widgets.study import RUNS, Answer, Study

__all__ = ["LIVE_UPDATES", "explore"]

LIVE_UPDATES = Scenario(
    name="live-updates",
    description="Rooms of ten phones, 100,000 in all: small enough to follow a slider, large enough to need servers",
    seed=1,
    duration="6s",
    warmup="1s",
    clients=[{"name": "phones", "count": 100_000, "network": {"rtt": {"median": "40ms", "p99": "250ms"}}}],
    servers={"count": 12, "max_connections": 15_000, "memory": "4GiB", "egress": "1 Gbit/s"},
    broker={"kind": "redis_pubsub"},
    rooms=[{"name": "group", "count": 10_000, "members": 10}],
    traffic=[{"name": "messages", "to": "group", "rate": "2000/s"}],
    slo={"p99": "400ms", "max_lost_ratio": 0},
)
"""What `explore` begins with unless it is given another: everybody is connected, so that a run takes a tenth of a
second."""


def explore(
    scenario: Scenario | None = None, over: Sequence[str] | Mapping[str, Sequence[Any] | None] | None = None
) -> Study:
    """Sliders for a scenario; its latency, hop by hop and over time, its limits, and its promises follow them.

    Parameters
    ----------
    scenario : Scenario, optional
        Where the sliders begin; `LIVE_UPDATES` if left out.
    over : sequence of str, or mapping of str to sequence, optional
        Paths of the fields that get a control, as `Scenario.replace` takes them; of a mapping, the values to choose
        from, or None for those around the scenario's. Left out, those that are usually asked about.

    Returns
    -------
    Study
        Its `scenario` is what the sliders stand for, its `results` what is shown.

    Raises
    ------
    ScenarioError
        If a path leads to no field, or to none that can be chosen from a row of values.

    Examples
    --------
    >>> small = LIVE_UPDATES.replace(**{"clients.phones.count": 500, "rooms.group.count": 50, "duration": 2,
    ...                                 "warmup": 1, "traffic.messages.rate": 100})
    >>> study = explore(small, over={"servers.count": [4, 8, 12]})
    >>> (servers,) = study.controls.values()
    >>> servers.label = "4"
    >>> study.scenario.servers.count, study.results.scenario.servers.count
    (4, 4)
    """
    base = LIVE_UPDATES if scenario is None else scenario
    fields = chosen_fields(base, over)
    controls = {field.path: control_of(field) for field in fields}
    figures: list[MovingFigure] = []

    def answer(asked: Scenario, more: None, progress: Callable[[float], None]) -> Answer:
        results = simulate(asked, engine=engine_for(asked, beside=RUNS)[0], progress=progress)
        if not figures:
            figures.append(MovingFigure(before=results))
        limits = server_limits(asked)
        return Answer(results, figures[0].draw(results, limits), _alt(results, limits), _table(results, limits))

    return Study(f"Explore {base.name}", controls, lambda: (replaced(base, fields, controls), None), answer)


def _alt(results: Results, limits: Limits) -> str:
    figures = results.latency_s()
    found = ", ".join(f"{name} {value_text(figures[name].value, 's')}" for name in ("p50", "p99"))
    return (
        f"Delivery latency of {results.scenario.name}, as a whole, hop by hop and over time: {found}. {limits.headline}"
    )


def _table(results: Results, limits: Limits) -> str:
    """What one reads first."""
    figures, total, servers = results.latency_s(), results.deliveries.loc["total"], results.servers
    rows = []
    for name in ("p50", "p95", "p99"):
        found = figures[name]
        ends = "" if found.low is None else f"{value_text(found.low, 's')} to {value_text(found.high, 's')}"
        rows.append((f"latency {name}", value_text(found.value, "s"), ends))
    missing = ", ".join(f"{total[name]:,} {name}" for name in ("lost", "dropped") if total[name]) or "none is missing"
    rows.append(("deliveries", f"{total['delivered']:,} of {total['expected']:,}", missing))
    busiest, room = servers["utilization"].max(), results.scenario.servers.max_connections
    rows.append(("busiest server", f"{busiest:.0%} of the time", ""))
    of_room = "" if room is None else f"of {room:,} that it takes"
    rows.append(("fullest server", f"{servers['peak_connections'].max():,.0f} connections", of_room))
    needed = "no number is enough" if limits.needed is None else plural(limits.needed, "server")
    binding = "" if limits.binding is None else f"{limits.binding} binds"
    rows.append(("needed, by arithmetic", needed, f"here {limits.given:,}; {binding}".rstrip("; ")))
    for row in results.objectives().itertuples():
        verdict = VERDICTS[row.kept] + (f" ({row.note})" if row.note else "")
        rows.append((f"promise: {row.Index}", f"{row.promised:,.4g} {row.unit}".removesuffix(" ratio"), verdict))
    notes = "".join(f"<p>Note: {html.escape(text)}</p>" for text in results.warnings)
    return table("What follows", ("", "figure", "95 % interval, and more"), rows) + notes
