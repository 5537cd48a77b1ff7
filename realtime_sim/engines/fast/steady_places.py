"""Where everybody is in a steady run: clients at servers, and the members of rooms by server."""

from __future__ import annotations

from realtime_sim.draws import Stream, uniform
from realtime_sim.engines.constants import PING_ROUNDS
from realtime_sim.engines.fast.compiling import compiled
from realtime_sim.engines.fast.steady_state import NEVER_NS, STEADY
from realtime_sim.policies import balancing

BALANCE_STREAM = Stream.BALANCE
RANDOM, POWER_OF_TWO = balancing.Random.code, balancing.PowerOfTwo.code


@compiled(s=STEADY)
def _choose_servers(s):
    """The server of each client, for the time being in `client`; whether all found room."""
    counter, u1, u2 = 0, 0.0, 0.0
    for client in range(len(s.client)):
        if s.balancer == RANDOM or s.balancer == POWER_OF_TWO:
            u1 = uniform(s.seed, BALANCE_STREAM, client, 0, 0)
            u2 = uniform(s.seed, BALANCE_STREAM, client, 0, 1)
        server, counter = balancing.pick_affine(s.balancer, s.load, s.healthy, u1, u2, client, counter, -1)
        if s.limit >= 0 and s.load[server] >= s.limit:
            return False
        s.load[server] += 1
        s.cohort_sizes[server, s.cohort[client]] += 1
        s.client[client] = server
    return True


@compiled(s=STEADY)
def _take_places(s):
    server_of = s.client.copy()
    for server in range(s.n_servers):
        s.server_first[server + 1] = s.server_first[server] + s.load[server]
    following = s.server_first.copy()
    for client in range(len(server_of)):
        place = following[server_of[client]]
        following[server_of[client]] += 1
        s.client[place], s.half_ns[place] = client, s.rtt_ns[client] // 2


@compiled(s=STEADY)
def _list_members(s):
    """Members of every room but everyone's, by place: places are dealt out to rooms in ascending order."""
    n_clients = len(s.client)
    following = s.member_offsets - n_clients
    for place in range(n_clients):
        client = s.client[place]
        for i in range(s.room_offsets[client], s.room_offsets[client + 1]):
            room = s.rooms[i]
            if room > 0:
                s.members[following[room]] = place
                following[room] += 1


@compiled(s=STEADY)
def _first_pings(s):
    for server in range(s.n_servers):
        for cohort in range(s.n_cohorts):
            if s.ping_interval_ns[cohort] > 0:
                first_ns = s.ping_interval_ns[cohort] // PING_ROUNDS
                s.next_ping_ns[server] = min(s.next_ping_ns[server], first_ns)
            else:
                s.ping_tick[server, cohort] = NEVER_NS


@compiled(s=STEADY)
def settle(s):
    """Give every client its place; whether the servers had room for all."""
    if not _choose_servers(s):
        return False
    _take_places(s)
    if len(s.members) > 0:
        _list_members(s)
    _first_pings(s)
    return True


@compiled(s=STEADY)
def server_at(s, place):
    """The server that a place belongs to."""
    low, high = 0, s.n_servers
    while high - low > 1:
        middle = (low + high) >> 1
        if s.server_first[middle] <= place:
            low = middle
        else:
            high = middle
    return low


@compiled(s=STEADY)
def count_subscriptions(s):
    """Pairs of a room and a server with a member of it."""
    n = 0
    for server in range(s.n_servers):
        n += s.load[server] > 0
    for room in range(1, len(s.member_offsets) - 1):
        i, last = s.member_offsets[room] - len(s.client), s.member_offsets[room + 1] - len(s.client)
        while i < last:
            n += 1
            beyond = s.server_first[server_at(s, s.members[i]) + 1]
            while i < last and s.members[i] < beyond:
                i += 1
    return n
