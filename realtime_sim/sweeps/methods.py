"""Methods: at which points the inputs are looked at, and what the figures there say of each input.

`tornado` moves one input at a time from the scenario as it is to its ends, and says how far the figure goes. `morris`
walks through the whole box of inputs, one at a time from ever other starting points: `mu_star` is how far the figure
moves on average when an input goes through its range, `sigma` how much that depends on where one starts. `sobol` draws
from the whole box, inputs independent and uniform, and splits the variance of the figure: `S1` is the share that an
input makes alone, `ST` that with all it makes together with others. Both come from SALib. Their intervals are about
the points that were chosen, not about the draws of the runs, which all points share.

References
----------
Morris (1991), "Factorial sampling plans for preliminary computational experiments", Technometrics 33. Campolongo,
Cariboni and Saltelli (2007), "An effective screening design for sensitivity analysis of large models", Environmental
Modelling & Software 22 (mu_star). Saltelli et al. (2010), "Variance based sensitivity analysis of model output",
Computer Physics Communications 181 (estimators of S1 and ST). Herman and Usher (2017), "SALib", Journal of Open Source
Software 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from realtime_sim import stats
from realtime_sim.sweeps.answer import mean_of
from realtime_sim.sweeps.inputs import Input

__all__ = ["METHODS", "Method"]

LEVELS = 4
"""Values of an input that `morris` visits."""

STEP = LEVELS / (2 * (LEVELS - 1))
"""How far `morris` moves an input at a time, as a share of the way (Morris 1991, delta)."""

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Method:
    """A way to ask.

    Parameters
    ----------
    points : callable
        ``points(inputs, samples, seed)``: what to replace in the scenario, for each point.
    read : callable
        ``read(inputs, figures, seed)``: the frame, a row for each input, from figures of shape (points, replications).
    samples : int or None
        Trajectories or draws where none are asked for; None where there is no choice.
    by : str
        The column that says which input moves the figure most.
    """

    points: Callable[[Sequence[Input], int | None, int], list[dict[str, Any]]]
    read: Callable[[Sequence[Input], np.ndarray, int], pd.DataFrame]
    samples: int | None
    by: str


def _tornado_points(inputs: Sequence[Input], samples: int | None, seed: int) -> list[dict[str, Any]]:
    """The scenario as it is, then every value of every input."""
    return [{}, *({one.path: value} for one in inputs for value in one.values)]


def _tornado(inputs: Sequence[Input], figures: np.ndarray, seed: int) -> pd.DataFrame:
    rows, at = [], 1
    for one in inputs:
        each = figures[at : at + len(one.values)]
        at += len(one.values)
        means = each.mean(axis=1)
        ends = (0, 1) if one.is_range else (int(means.argmin()), int(means.argmax()))
        whole = np.vstack([figures[:1], each])
        least, most = whole.mean(axis=1).argmin(), whole.mean(axis=1).argmax()
        swing = mean_of(whole[most] - whole[least])  # the same draws at both: their noise is not in the difference
        bounds = swing.bounds_from_0
        rows.append(
            {
                "low": one.shown[ends[0]], "base": one.base, "high": one.shown[ends[1]],
                "at_low": means[ends[0]], "at_base": figures[0].mean(), "at_high": means[ends[1]],
                "swing": swing.value, "swing_low": bounds[0], "swing_high": bounds[1],
            }
        )  # fmt: skip
    return _framed(inputs, rows, "swing")


def _morris_points(inputs: Sequence[Input], samples: int | None, seed: int) -> list[dict[str, Any]]:
    return [_values(inputs, shares) for shares in _morris_shares(inputs, samples, seed)]


def _morris_shares(inputs: Sequence[Input], samples: int | None, seed: int) -> np.ndarray:
    from SALib.sample import morris

    with _random_state_kept():
        return morris.sample(_box(inputs), samples, num_levels=LEVELS, seed=seed)


def _morris(inputs: Sequence[Input], figures: np.ndarray, seed: int) -> pd.DataFrame:
    from SALib.analyze import morris

    size = len(inputs) + 1  # points of a trajectory
    n = len(figures) // size
    shares, y = _morris_shares(inputs, n, seed), figures.mean(axis=1)

    def analysed(chosen: np.ndarray) -> Mapping[str, np.ndarray]:
        return morris.analyze(
            _box(inputs), shares[chosen], y[chosen], conf_level=CONFIDENCE, num_levels=LEVELS, seed=seed
        )

    trajectory = np.arange(len(y)) // size
    with _random_state_kept():
        found = analysed(trajectory >= 0)
        without = np.array([analysed(trajectory != left_out)["sigma"] for left_out in range(n)])
    rows = []
    for i, one in enumerate(inputs):
        scale = STEP / _moved(one)
        row: dict[str, Any] = {"mu_star": scale * float(found["mu_star"][i])}
        row |= _within("mu_star", row["mu_star"], scale * float(found["mu_star_conf"][i]))
        row |= {"mu": scale * float(found["mu"][i]), "sigma": scale * float(found["sigma"][i])}
        half = _half_of_jackknife(row["sigma"], scale * without[:, i])
        rows.append(row | _within("sigma", row["sigma"], half))
    return _framed(inputs, rows, "mu_star")


def _moved(one: Input) -> float:
    """How far a step takes an input that has few values, mean over where steps begin: of two it goes the whole way."""
    begins = [level / (LEVELS - 1) for level in range(LEVELS) if level / (LEVELS - 1) + STEP <= 1 + 1e-9]
    return float(np.mean([one.place(min(1.0, begin + STEP)) - one.place(begin) for begin in begins]))


def _half_of_jackknife(whole: float, without: np.ndarray) -> float:
    """Half the width of an interval, from the same figure with each part left out in turn (Tukey 1958)."""
    n = len(without)
    pseudo = stats.over_replications(n * whole - (n - 1) * without)
    return float(pseudo.high - pseudo.value)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """SALib's Morris seeds the one generator that all of NumPy's users share."""
    before = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(before)


def _sobol_points(inputs: Sequence[Input], samples: int | None, seed: int) -> list[dict[str, Any]]:
    from SALib.sample import sobol

    shares = sobol.sample(_box(inputs), samples, calc_second_order=False, seed=seed)
    return [_values(inputs, row) for row in shares]


def _sobol(inputs: Sequence[Input], figures: np.ndarray, seed: int) -> pd.DataFrame:
    from SALib.analyze import sobol

    y = figures.mean(axis=1)
    nothing = dict.fromkeys(("S1", "S1_conf", "ST", "ST_conf"), np.zeros(len(inputs)))  # no variance to be split
    found = nothing if np.ptp(y) == 0 else sobol.analyze(
        _box(inputs), y, calc_second_order=False, conf_level=CONFIDENCE, seed=seed
    )  # fmt: skip
    rows = []
    for i in range(len(inputs)):
        row: dict[str, Any] = {}
        for name in ("S1", "ST"):
            value, half = float(found[name][i]), float(found[f"{name}_conf"][i])
            row |= {name: value, f"{name}_low": value - half, f"{name}_high": value + half}
        rows.append(row)
    return _framed(inputs, rows, "ST")


METHODS = {
    "tornado": Method(_tornado_points, _tornado, None, "swing"),
    "morris": Method(_morris_points, _morris, 10, "mu_star"),
    "sobol": Method(_sobol_points, _sobol, 64, "ST"),
}
"""By name."""


def _box(inputs: Sequence[Input]) -> dict[str, Any]:
    """The inputs as SALib knows them: shares of their ranges."""
    return {"num_vars": len(inputs), "names": [one.path for one in inputs], "bounds": [[0.0, 1.0]] * len(inputs)}


def _values(inputs: Sequence[Input], shares: np.ndarray) -> dict[str, Any]:
    return {one.path: one.at(float(share)) for one, share in zip(inputs, shares, strict=True)}


def _within(name: str, value: float, half: float) -> dict[str, float]:
    """An interval of what cannot be below 0."""
    return {f"{name}_low": max(0.0, value - half), f"{name}_high": value + half}


def _framed(inputs: Sequence[Input], rows: list[dict[str, Any]], by: str) -> pd.DataFrame:
    """One row for each input, the one that moves the figure most first."""
    frame = pd.DataFrame(rows, index=pd.Index([one.path for one in inputs], name="input"))
    return frame.sort_values(by, ascending=False, kind="stable", na_position="last")
