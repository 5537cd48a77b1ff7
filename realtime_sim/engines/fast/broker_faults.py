"""What the control plane does to the broker and its connections, and what comes of it later.

As `actions`, but for `reached`, these functions are called from Python, between two stretches of compiled code.
"""

from __future__ import annotations

from realtime_sim.engines.constants import CUT, STALLED, UP
from realtime_sim.engines.fast.agenda import insert, key_of
from realtime_sim.engines.fast.broker_links import (
    AT_BROKER,
    BACKEND,
    ENDS,
    READER,
    SENDS,
    cut,
    settle_waiting,
    take_held,
    with_epoch,
    write,
)
from realtime_sim.engines.fast.compiling import FLAG, compiled
from realtime_sim.engines.fast.ledger import BROKER_DOWN, SERVER_AWAY
from realtime_sim.engines.fast.logs import asks, hand_out
from realtime_sim.engines.fast.servers import dispatch
from realtime_sim.engines.fast.stations import stop_station
from realtime_sim.engines.fast.subscriptions import give_back_all, join
from realtime_sim.engines.order import Phase

FAULT, REACHED = int(Phase.FAULT), int(Phase.REACHED)


@compiled()
def _now(s, now):
    s.now, s.phase, s.disturbed = now, FAULT, True


@compiled()
def _connect_later(s, server):
    insert(s, s.now + s.reconnect_ns, key_of(REACHED, server, -1), -1, server, s.servers[server].epoch)


@compiled(apart=True)
def reached(s, server, epoch):
    """A server has reached the broker again: it subscribes anew, or reads on once its group is balanced.

    Or the backend has, if the broker has not stopped once more since."""
    if server == BACKEND:
        if epoch == s.incarnation:
            s.backend_away = False
            settle_waiting(s, BACKEND, SENDS)
        return
    v = s.servers[server]
    if v.dead or v.epoch != epoch or v.link != CUT:
        return
    v.link = UP
    for i in range(s.n_ways):
        s.ways[server, i].joined = s.ways[server, i].answered = True
    if s.has_history:
        time = s.now + s.rebalance_ns + s.control_link_ns
        insert(s, time, key_of(AT_BROKER, server, -1), -1, server, with_epoch(READER, epoch))
    elif join(s, server):
        return  # what it kept goes out when it is subscribed
    settle_waiting(s, server, SENDS)


@compiled()
def _flows(s, server):
    """A connection that had stalled works again."""
    v = s.servers[server]
    if s.has_history:
        if v.holds_answer:
            v.holds_answer = False
            hand_out(s, server)
        elif v.holds_request:
            v.holds_request = False
            asks(s, server)
        return
    job = take_held(s, server)
    while job >= 0:
        following = s.jobs[job].next
        s.jobs[job].a_ns = max(s.jobs[job].a_ns, s.now)
        write(s, server, job)
        job = following
    if s.per_room and not join(s, server):
        give_back_all(s, server)


@compiled(silent=FLAG)
def partition(s, server, silent, now):
    """A server and the broker cannot reach each other. Returns whether they could before."""
    v = s.servers[server]
    if v.dead or v.partitioned:
        return False
    _now(s, now)
    v.partitioned = True
    if silent and v.link == UP:
        v.link, v.why = STALLED, SERVER_AWAY
    else:
        cut(s, server, SERVER_AWAY)
    return True


@compiled()
def heal(s, server, now):
    """A server and the broker can reach each other again. Returns whether they could not before."""
    v = s.servers[server]
    if v.dead or not v.partitioned:
        return False
    _now(s, now)
    v.partitioned = False
    if v.link == STALLED:
        v.link = UP
        _flows(s, server)
        settle_waiting(s, server, SENDS)
    elif not s.down:
        _connect_later(s, server)
    return True


@compiled()
def stop_broker(s, now):
    """The broker stops: connections, queued work and what is on its threads go. Returns whether it ran before."""
    if s.down:
        return False
    _now(s, now)
    s.down = s.backend_away = True
    for server in range(s.n_servers):
        if not s.servers[server].dead:
            cut(s, server, BROKER_DOWN)
    s.incarnation += 1
    for station in range(len(s.stations)):
        stop_station(s, station)
    dispatch(s)
    return True


@compiled()
def start_broker(s, now):
    """The broker runs again. Returns whether it did not before."""
    if not s.down:
        return False
    _now(s, now)
    s.down = False
    for server in range(s.n_servers):
        if not s.servers[server].dead and not s.servers[server].partitioned:
            _connect_later(s, server)
    time = s.now + s.reconnect_ns + 2 * s.control_link_ns
    insert(s, time, key_of(REACHED, BACKEND, -1), -1, BACKEND, s.incarnation)
    return True


@compiled()
def set_broker_pace(s, permille, now):
    """From the next request on, work takes the broker so many thousandths of its cost."""
    s.now, s.phase, s.broker_pace = now, FAULT, permille


@compiled()
def run_over(s):
    """The run is over: what waits at its publisher never reached the broker."""
    settle_waiting(s, BACKEND, ENDS)


CALLED = (partition, heal, stop_broker, start_broker, set_broker_pace, run_over)
"""What is called from Python, where a scenario has anything to do for the control plane."""
