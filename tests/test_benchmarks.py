"""The benchmarks compare equals: plain SimPy and the hand-written loop do the work that our scenarios say."""

from __future__ import annotations

import pytest

from benchmarks import heapq_models, simpy_models
from benchmarks.coverage import queues
from benchmarks.measuring import FUNCTIONS, PEERS
from benchmarks.works import WORKS, Bar

SMALL = {"M/M/1": 20_000, "M/D/1": 20_000, "broadcast": 2_000, "reconnect storm": 3_000}
"""Sizes that take a second."""


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("models", [simpy_models, heapq_models], ids=["simpy", "heapq"])
def test_a_peer_finds_what_we_find(name, models):
    """At these sizes chance is twice as large as at those of the table; seeds are fixed."""
    work, size = WORKS[name], SMALL[name]
    ours = work.run(size, "reference")
    theirs = getattr(models, FUNCTIONS[name])(size, 1)
    for figure, allowed in work.same.items():
        assert theirs[figure] == pytest.approx(ours[figure], rel=2 * allowed), figure


def test_a_full_accept_queue_turns_away_in_every_model(monkeypatch):
    """300 clients at once for two servers with 20 handshakes a second; the last of a full queue would wait too long."""
    from benchmarks import rules

    for name, value in {"N_STORM_SERVERS": 2, "BACKLOG": 10, "HANDSHAKE_S": 0.1, "TIMEOUT_S": 0.95}.items():
        monkeypatch.setattr(rules, name, value)
    ours = WORKS["reconnect storm"].run(300, "reference")
    assert ours["attempts_each"] > 3
    for models in (simpy_models, heapq_models):
        theirs = models.storm(300, 1)
        assert theirs["attempts_each"] == pytest.approx(ours["attempts_each"], rel=0.15)
        assert theirs["half_back_s"] == pytest.approx(ours["half_back_s"], rel=0.15)


def test_works_name_producers_that_exist_and_bars_sizes_that_are_measured():
    for name, work in WORKS.items():
        assert set(work.sizes) <= {"fast", "reference", *PEERS}
        assert set(work.sizes) & set(PEERS) == set() or name in FUNCTIONS
        assert set(work.bars) <= set(work.sizes["fast"])


def test_a_bar_is_met_from_its_bound_on():
    least, most = Bar("per_s", least=20e6), Bar("seconds", most=0.01)
    assert (str(least), str(most)) == (">= 20,000,000/s", "<= 0.01 s")
    assert (least.met(20e6), least.met(19.9e6), most.met(0.01), most.met(0.011)) == (True, False, True, False)


def test_the_queues_of_the_coverage_have_the_truth_of_the_textbook():
    """Kleinrock (1975): waits of 4, 2 and 10 services at a utilization of 0.8; copies half a batch later on average."""
    means = [queue.truth["mean"] for queue in queues()]
    assert means == pytest.approx([4e-3, 2e-3, 10e-3, 2e-3 + 1e-3 * 21 / 40])
