"""The outage itself: what clients see from the loss of servers until recovery is due, which no promise is held to.

The loss drill counts from when recovery is due. One run of the answer more, the same but for its measured time, counts
from the loss until then, so that a plan does not pass over the time at which clients see it most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from realtime_sim.limits.table import plural
from realtime_sim.planning.drills import SAMPLES
from realtime_sim.planning.words import value_text
from realtime_sim.recovery import slowest_s
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario

__all__ = ["Outage", "outage_drill", "outage_of"]


@dataclass(frozen=True, slots=True)
class Outage:
    """One run from the loss of servers until recovery is due.

    Parameters
    ----------
    lost : int
        Servers that die.
    length_s : float
        From the loss until recovery is due, seconds.
    p99_s : float
        Of what was published meanwhile and delivered, seconds; NaN where nothing was.
    lost_ratio : float
        Share of the deliveries expected meanwhile that were lost or dropped; NaN where none was expected.
    back_s : float
        From the loss until the last client that it cut off was connected again, seconds; 0 where it cut nobody off,
        inf where some were not back when recovery was due.
    results : Results
        The run.
    """

    lost: int
    length_s: float
    p99_s: float
    lost_ratio: float
    back_s: float
    results: Results = field(repr=False)

    @property
    def text(self) -> str:
        """In one line.

        Examples
        --------
        >>> since, _, found = Outage(1, 30.0, 0.2309, 0.00412, 3.08, results=None).text.partition(": ")
        >>> since
        'In the 30 s after the loss of 1 server'
        >>> found
        'p99 231 ms, 0.412 % lost, the last client back after 3.08 s; one run, not held to the promises.'
        """
        found = [] if math.isnan(self.p99_s) else [f"p99 {value_text(self.p99_s * 1e3, 'ms')}"]
        found += [] if math.isnan(self.lost_ratio) else [f"{value_text(self.lost_ratio, 'ratio')} lost"]
        back = f"the last client back after {value_text(self.back_s, 's')}"
        found.append(back if math.isfinite(self.back_s) else "some clients not back yet")
        since = f"In the {self.length_s:g} s after the loss of {plural(self.lost, 'server')}"
        return f"{since}: {', '.join(found)}; one run, not held to the promises."

    def to_plain(self) -> dict[str, object]:
        """Plain numbers, and the run as a scenario; NaN and infinity as they are."""
        figures = {name: getattr(self, name) for name in ("lost", "length_s", "p99_s", "lost_ratio", "back_s")}
        return {**figures, "drill": self.results.scenario.to_plain()}


def outage_drill(loss: Scenario) -> Scenario | None:
    """The run from the loss until recovery is due; None where it is due at once.

    Parameters
    ----------
    loss : Scenario
        The drill of that name, from `drills_of`.
    """
    at_s, due_s = loss.faults[0].at, loss.warmup_s
    if due_s <= at_s:
        return None
    samples = min(loss.sample_interval, (due_s - at_s) / SAMPLES)
    return loss.replace(warmup=at_s, duration=due_s, sample_interval=samples)


def outage_of(results: Results) -> Outage:
    """What was found in a run of `outage_drill`.

    Parameters
    ----------
    results : Results
        Of one replication.
    """
    (loss,), total = results.scenario.faults, results.deliveries.loc["total"]
    missing, expected = total["lost"] + total["dropped"], total["expected"]
    return Outage(
        lost=loss.count,
        length_s=results.scenario.duration - loss.at,
        p99_s=results.latency_s()["p99"].value,
        lost_ratio=float(missing / expected) if expected else math.nan,
        back_s=slowest_s(results.traces),
        results=results,
    )
