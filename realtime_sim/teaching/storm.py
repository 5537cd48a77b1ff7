"""Choose how twenty thousand clients come back, so that all are there soon and servers work for nobody in vain."""

from __future__ import annotations

import math

from realtime_sim.backoffs import compare_backoff
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.storms import storm_figures
from realtime_sim.teaching.checking import Verdict, patience, scenario

__all__ = ["exam", "judge"]

SOON_S = 30
MOST_WASTED = 0.1


def exam() -> Scenario:
    """The scenario whose clients are to come back.

    Examples
    --------
    >>> exam().n_clients
    20000
    """
    return scenario("storm").replace(**{"clients.phones.count": 20_000})


def judge(answer: object) -> Verdict:
    """Whether a policy brings everybody back soon, and few handshakes are wasted."""
    with patience(answer) as progress:
        found = compare_backoff(exam(), {"yours": answer}, engine="fast", progress=progress)
    (run,) = found.results.values()
    storm = storm_figures(run.trace, 0)
    least_s = storm["affected"] / storm["capacity_per_s"]
    back_s, wasted = storm["p100_s"], storm["wasted_ratio"]
    said = f"everybody is back after {back_s:.1f} s" if math.isfinite(back_s) else "not everybody comes back"
    text = f"With it {said}, and {wasted:.0%} of the handshakes are for somebody who has given up"
    if back_s <= SOON_S and wasted <= MOST_WASTED:
        return Verdict(True, f"{text}; no policy could do it in less than {least_s:g} s.")
    return Verdict(False, f"{text}: {_why(run, storm, wasted)}")


def _why(run: Results, storm: dict[str, float], wasted: float) -> str:
    """What is wrong with a policy that is not good enough."""
    if storm["gave_up"]:
        return f"{storm['gave_up']:,.0f} gave up for good."
    if wasted <= MOST_WASTED:
        return "servers have nothing to do for a while, as some clients wait longer than they need to."
    first = run.timeseries["attempts_per_s"].max()
    return (
        f"up to {first:,.0f} ask in a second, and the servers can accept {storm['capacity_per_s']:,.0f}. "
        "Over how many seconds must their first attempts be spread, so that it is no more?"
    )
