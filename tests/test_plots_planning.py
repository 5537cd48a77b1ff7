"""Plots of a plan show the figures of its checks and limits, and say so where there is nothing to show."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_sim import plots
from realtime_sim.planning import Plan
from realtime_sim.plots.planning import HIGHEST_RATIO
from realtime_sim.sizing import lag_of, share_of_promise, steps_of, worst_of
from realtime_sim.sizing.shares import drill_of_both, limit_shares
from tests.plans import by_arithmetic, full, planned, without_an_answer

DRAWN = (plots.promises_by_servers, plots.limits_used, plots.servers_by_step, plots.latency_around)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned()


def texts_of(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def lines(ax) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in ax.get_lines()}


def test_points_are_shares_of_promises_in_the_worst_drill(plan):
    ax = plots.promises_by_servers(plan)
    counts = [int(label.get_text().replace(",", "")) for label in ax.get_xticklabels()]
    assert plan.servers in counts and set(counts) <= {one.servers for one in plan.evaluations}
    for name in ("p99", "utilization", "headroom", "recovery"):
        drawn = lines(ax)[name]
        for place, count in enumerate(counts):
            simulated = tuple(one for one in plan.at(count).checks if one.decided_by == "simulation")
            worst = worst_of(simulated, name)
            shown = drawn[np.abs(drawn[:, 0] - place) < 0.5]
            assert len(shown) == (worst is not None)
            if worst is not None:
                assert shown[0, 1] == pytest.approx(min(share_of_promise(worst)[0], HIGHEST_RATIO))
    assert (lines(ax)["promised"][:, 1] == 1).all() and f"answer: {plan.servers}" in texts_of(ax)


def test_a_limit_that_binds_by_arithmetic_has_its_line():
    """80 clients, 32 a server, one lost: 3 servers leave 40 on each of two, which is 1.25 of what may be."""
    plan = full()
    assert (plan.servers, plan.binding, plan.below.results) == (4, "connections", {})
    ax = plots.promises_by_servers(plan)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["3", "4"]
    assert lines(ax)["connections, arithmetic"][:, 1] == pytest.approx([80 / 2 / 32, 80 / 3 / 32], rel=1e-12)
    assert len(lines(ax)["p99"]) == 1


def test_whiskers_are_the_intervals(plan):
    ax = plots.promises_by_servers(plan)
    ends = [segment[:, 1] for bars in ax.collections for segment in bars.get_segments()]
    simulated = tuple(one for one in plan.answer.checks if one.decided_by == "simulation")
    _, low, high = share_of_promise(worst_of(simulated, "p99"))
    assert any(end == pytest.approx([low, min(high, HIGHEST_RATIO)]) for end in ends)


def test_bars_of_limits_are_those_at_the_answer_and_marks_what_is_allowed(plan):
    ax = plots.limits_used(plan)
    servers, shares = limit_shares(plan)
    assert servers == plan.servers
    widths = np.array([bar.get_width() for bar in ax.patches]).reshape(2, -1)
    assert widths[0] == pytest.approx([100 * share.used for share in shares])
    assert widths[1] == pytest.approx([100 * share.left for share in shares])
    marks = [line.get_xdata()[0] for line in ax.get_lines()]
    assert marks == pytest.approx([100 * share.allowed for share in shares])
    assert any(label.get_text().endswith("(binds)") for label in ax.get_yticklabels())


def test_bars_of_steps_lead_to_the_answer_and_beyond_it_to_the_lag(plan):
    ax = plots.servers_by_step(plan)
    names = [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()]
    steps, lag = steps_of(plan), lag_of(plan)
    told = [step.name if step.exact else f"{step.name} (at most)" for step in steps]
    assert names == [*told, "answer", "autoscaler's lag"]
    tops = [bar.get_y() + bar.get_height() for bar in ax.patches]
    assert tops == [*(step.servers for step in steps), plan.servers, lag.needed]
    assert str(plan.servers) in texts_of(ax)


def test_latency_is_drawn_at_the_answer_and_below_it_with_what_is_promised(plan):
    ax = plots.latency_around(plan)
    labels = [text.get_text().split(":")[0] for text in ax.get_legend().get_texts()]
    drill = drill_of_both(plan)
    with_runs = [one.servers for one in (plan.answer, plan.below) if drill in one.results]
    assert labels == [f"{n} servers" for n in with_runs]
    promised = [line.get_xydata()[0] for line in ax.get_lines() if line.get_marker() == "D"]
    assert promised == [pytest.approx([150, 99])]
    assert "promised: p99 150 ms" in texts_of(ax)
    assert ax.get_xlim()[1] > 150


@pytest.mark.parametrize("draw", DRAWN)
@pytest.mark.parametrize("made", [without_an_answer, by_arithmetic])
def test_what_is_not_there_is_said(draw, made):
    ax = draw(made())
    assert ax.get_title(loc="left") and (ax.patches or any(len(text) > 10 for text in texts_of(ax)))


def box(text) -> tuple[float, float, float, float]:
    extent = text.get_window_extent()
    return extent.x0, extent.y0, extent.x1, extent.y1


@pytest.mark.parametrize("draw", DRAWN)
def test_no_text_covers_another(plan, draw):
    ax = draw(plan)
    ax.figure.draw_without_rendering()
    ticks = [*ax.get_xticklabels(), *ax.get_yticklabels()]
    shown = [*ax.texts, *ticks, ax.xaxis.label, ax.yaxis.label, ax.title, ax._left_title]
    boxes = [box(text) for text in shown if text.get_visible() and text.get_text()]
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        for u0, v0, u1, v1 in boxes[i + 1 :]:
            assert x1 <= u0 + 1 or u1 <= x0 + 1 or y1 <= v0 + 1 or v1 <= y0 + 1
