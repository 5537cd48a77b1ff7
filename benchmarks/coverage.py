"""Coverage: how often the 95 % interval of a single run holds what queueing theory says.

Run it as `make coverage`, or `python -m benchmarks.coverage --runs 200 --jobs 20000`. Each run is one call of
`simulate` with its own seed, and its interval is the one that its results print. With 1,000 runs, the share found for
intervals that are exactly right lies between 0.936 and 0.964, 19 times of 20.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from rich.console import Console
from rich.table import Table

from realtime_sim import Scenario, simulate, theory
from realtime_sim.stats import Estimate

SERVICE_S = 1e-3
UTILIZATION = 0.8
N_MEMBERS = 20
RATE = UTILIZATION / SERVICE_S
FIGURES = ("mean", "p99")


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue whose mean and p99 are known.

    Parameters
    ----------
    name : str
        In Kendall's notation.
    cost : object
        Time that a job takes, as a scenario has it.
    truth : dict of str to float
        `mean` and `p99` by theory, seconds.
    n_members : int
        Copies of each job. Of one, the wait is looked at; of several, the time until a copy has been sent.
    """

    name: str
    cost: object
    truth: dict[str, float]
    n_members: int = 1

    def scenario(self, n_jobs: int, seed: int) -> Scenario:
        """One run of `n_jobs` jobs on average, of which a tenth is left out as warm-up."""
        costs = {"event": self.cost} if self.n_members == 1 else {"send": self.cost}
        duration = n_jobs / RATE
        return Scenario(
            name=self.name.replace("/", "-"),
            seed=seed,
            duration=duration,
            sample_interval=duration / 20,
            clients=[{"name": "members", "count": self.n_members, "keepalive": None}],
            servers={"profile": "zero", "costs": costs},
            broker={"kind": "none", "publisher_link": 0},
            traffic=[{"name": "jobs", "rate": RATE}],
        )

    def figures(self, n_jobs: int, seed: int) -> dict[str, Estimate]:
        """Mean and p99 of one run, with their intervals."""
        results = simulate(self.scenario(n_jobs, seed), engine="fast")
        return results.latency_s(hop="server_wait" if self.n_members == 1 else None)


def queues() -> list[Queue]:
    """All of them at a utilization of 0.8, with services of one millisecond on average."""
    send_s = SERVICE_S / N_MEMBERS
    return [
        Queue("M/M/1", {"mean": SERVICE_S}, _truth(theory.mm1, theory.mm1_wait_quantile_s)),
        Queue("M/D/1", SERVICE_S, _truth(theory.md1, theory.md1_wait_quantile_s)),
        Queue("M/G/1, cv 2", {"mean": SERVICE_S, "cv": 2}, _truth(theory.mg1, theory.mg1_wait_quantile_s, 2.0)),
        Queue(
            f"M^[{N_MEMBERS}]/D/1",
            send_s,
            {
                "mean": theory.fanout_md1(RATE, N_MEMBERS, send_s).mean_delay_s,
                "p99": theory.fanout_md1_delay_quantile_s(RATE, N_MEMBERS, send_s, 0.99),
            },
            N_MEMBERS,
        ),
    ]


def _truth(mean: Callable, quantile: Callable, *shape: float) -> dict[str, float]:
    return {
        "mean": mean(RATE, SERVICE_S, *shape).mean_wait_s,
        "p99": quantile(RATE, SERVICE_S, *shape, p=0.99),
    }


def covered(queue: Queue, n_jobs: int, seeds: range) -> np.ndarray:
    """For each seed and figure: whether there is an interval, whether it holds the truth, and its relative half-width.

    Returns
    -------
    ndarray of float, shape (seeds, figures, 3)
    """
    rows = np.zeros((len(seeds), len(FIGURES), 3))
    for row, seed in zip(rows, seeds, strict=True):
        figures = queue.figures(n_jobs, seed)
        for cell, name in zip(row, FIGURES, strict=True):
            figure, truth = figures[name], queue.truth[name]
            if figure.low is not None:
                cell[:] = 1, figure.low <= truth <= figure.high, (figure.high - figure.low) / 2 / truth
    return rows


def table(n_runs: int, lengths: list[int], workers: int) -> Table:
    """Coverage and half-width of every queue, figure and length of run."""
    out = Table(
        "queue", "jobs", *(f"{name}: {what}" for name in FIGURES for what in ("coverage", "half-width", "none"))
    )
    out.title = f"95 % intervals of {n_runs:,} runs each, utilization {UTILIZATION}"
    for queue in queues():
        for n_jobs in lengths:
            queue.figures(n_jobs, 0)  # what is compiled here is not compiled by every worker
            parts = [range(first, min(first + 25, n_runs)) for first in range(0, n_runs, 25)]
            rows = np.concatenate(Parallel(n_jobs=workers)(delayed(covered)(queue, n_jobs, part) for part in parts))
            has, holds, width = (rows[:, :, i] for i in range(3))
            cells = []
            for i in range(len(FIGURES)):
                n = has[:, i].sum()
                cells += [f"{holds[:, i].sum() / n:.3f}", f"{width[:, i].sum() / n:.1%}", f"{n_runs - n:.0f}"]
            out.add_row(queue.name, f"{n_jobs:,}", *cells)
    return out


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000, help="seeds of each row")
    parser.add_argument(
        "--jobs", type=int, nargs="*", default=[20_000, 50_000, 200_000], help="jobs of a run, on average"
    )
    parser.add_argument("--workers", type=int, default=-1, help="processes, -1 for all cores")
    asked, begun = parser.parse_args(), time.monotonic()
    Console(width=120).print(table(asked.runs, asked.jobs, asked.workers))
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
