"""A run of the compiled engine that is given up leaves nothing, and threads may compile it at once."""

from __future__ import annotations

import gc
import threading

import pytest
from numba import types
from numba.core.runtime import _nrt_python, rtsys

from realtime_sim.engines.fast import compiling
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate

CROWD = Scenario(
    name="crowd",
    duration="20s",
    sample_interval="1s",
    clients=[{"name": "phones", "count": 2_000}],
    servers={"count": 2},
    broker={"kind": "redis_pubsub"},
    traffic=[{"name": "news", "rate": "200/s"}],
)
STEADY = {}
GENERAL = {"clients.phones.session": {"mean": "5s"}}


class GivenUp(Exception):
    """What `progress` raises."""


def held() -> int:
    """Arrays that compiled code holds."""
    gc.collect()
    stats = rtsys.get_allocation_stats()
    return stats.mi_alloc - stats.mi_free


@pytest.mark.parametrize("changes", [STEADY, GENERAL], ids=["steady", "general"])
def test_a_run_that_is_given_up_gives_its_memory_back(changes):
    scenario, shares = CROWD.replace(**changes), []

    def progress(share: float) -> None:
        shares.append(share)
        if share > 0.4:
            raise GivenUp

    simulate(scenario, engine="fast", progress=lambda share: None)  # compiles
    _nrt_python.memsys_enable_stats()
    try:
        before = held()
        with pytest.raises(GivenUp):
            simulate(scenario, engine="fast", progress=progress)
        assert held() == before
    finally:
        _nrt_python.memsys_disable_stats()
    assert shares[-1] < 1


def test_threads_may_compile_one_function_at_once():
    def plus_one(n):
        return n + 1

    for _ in range(3):
        declared = compiling._declared(plus_one, (types.int64,), long=False)
        found, failed, together = [], [], threading.Barrier(4)

        def ask(declared=declared, found=found, failed=failed, together=together) -> None:
            together.wait()
            try:
                found.append(declared(41))
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (found, failed) == ([42] * 4, [])
