"""The well-known claim about servers for a million connections, with the arithmetic it leaves out."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass

import pandas as pd

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.limits.table import aligned, plural

__all__ = ["Claim", "connections_claim"]


@dataclass(frozen=True, slots=True)
class Claim:
    """Two ranges that are said to be one: connections a server, and servers in all.

    Parameters
    ----------
    connections : int
        Connections in all.
    per_server : tuple of int
        Claimed connections a server, lower and upper end.
    servers : tuple of int
        Claimed servers, lower and upper end.
    """

    connections: int
    per_server: tuple[int, int]
    servers: tuple[int, int]

    @property
    def servers_from_per_server(self) -> tuple[int, int]:
        """Servers that the two ends of `per_server` give, in their order: the first is the larger number."""
        low, high = (-(-self.connections // each) for each in self.per_server)
        return low, high

    @property
    def per_server_from_servers(self) -> tuple[int, int]:
        """Connections on the fullest server that the two ends of `servers` give, in their order."""
        low, high = (-(-self.connections // count) for count in self.servers)
        return low, high

    @property
    def agrees(self) -> bool:
        """Whether the claimed servers are those that the claimed connections a server give."""
        return self.servers == self.servers_from_per_server[::-1]

    @property
    def sentence(self) -> str:
        """What is wrong with the claim, or that nothing is."""
        most, least = self.servers_from_per_server
        if self.agrees:
            return (
                f"The two ranges agree: {_range(self.per_server)} connections a server, {_range(self.servers)} servers."
            )
        most_each, least_each = self.per_server_from_servers
        return (
            f"The two ranges do not agree: {_range(self.per_server)} connections a server mean {_range((least, most))} "
            f"servers for {self.connections:,} connections; {_range(self.servers)} servers mean "
            f"{_range((least_each, most_each))} connections each."
        )

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each end of the two ranges: what is claimed, and what follows from it."""
        rows = [
            (f"{each:,} connections a server", each, n)
            for each, n in zip(self.per_server, self.servers_from_per_server, strict=True)
        ]
        rows += [
            (plural(n, "server"), each, n) for n, each in zip(self.servers, self.per_server_from_servers, strict=True)
        ]
        columns = ["claimed", "connections_per_server", "servers"]
        return pd.DataFrame(rows, columns=columns).set_index("claimed")

    def __str__(self) -> str:
        rows = [[claimed, f"{each:,}", f"{n:,}"] for claimed, each, n in self.frame.itertuples()]
        table = aligned([["claimed", "connections each", "servers"], *rows], left={0})
        sentence = self.sentence.replace(": ", ":\n", 1).replace("; ", ";\n")
        return "\n".join([f"{self.connections:,} connections", "", *table, "", sentence])

    def _repr_html_(self) -> str:
        return f"{self.frame.to_html(border=0)}\n<p>{html.escape(self.sentence)}</p>"

    def to_plain(self) -> dict[str, object]:
        """Plain dicts, lists and numbers, as JSON holds them."""
        given = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        follows = {
            "servers_from_per_server": list(self.servers_from_per_server),
            "per_server_from_servers": list(self.per_server_from_servers),
        }
        return {**given, **follows, "agrees": self.agrees, "sentence": self.sentence}


def connections_claim(
    connections: int = 1_000_000, per_server: tuple[int, int] = (10_000, 65_000), servers: tuple[int, int] = (20, 65)
) -> Claim:
    """The claim that one million connections need 20 to 65 servers, at 10,000 to 65,000 connections each.

    Each end of one range is turned into the other: the two ranges are not the same.

    Parameters
    ----------
    connections : int
        Connections in all, at least 1.
    per_server : tuple of int
        Claimed connections a server, lower and upper end, each at least 1.
    servers : tuple of int
        Claimed servers, lower and upper end, each at least 1.

    Returns
    -------
    Claim
        The four ends, and a sentence.

    Raises
    ------
    ScenarioError
        If a number is not whole and positive, or a range is not a pair in ascending order.

    Notes
    -----
    65,000 is near the number of TCP ports, which limit the connections from one address to one other address and
    never what a listening server holds. Which number a server reaches depends on memory, CPU and traffic: see
    `server_limits`. Published single nodes held from 50,000 (Centrifugo, one million connections with 20 servers, 2020)
    to 2 million (Phoenix, 2015).

    Examples
    --------
    >>> print(connections_claim())
    1,000,000 connections
    <BLANKLINE>
    claimed                      connections each  servers
    10,000 connections a server            10,000      100
    65,000 connections a server            65,000       16
    20 servers                             50,000       20
    65 servers                             15,385       65
    <BLANKLINE>
    The two ranges do not agree:
    10,000 to 65,000 connections a server mean 16 to 100 servers for 1,000,000 connections;
    20 to 65 servers mean 15,385 to 50,000 connections each.
    """
    problems = []
    if not _is_count(connections):
        problems.append(Problem("connections", "must be a whole number of at least 1", connections, "use 1_000_000"))
    for path, given, example in (("per_server", per_server, (10_000, 65_000)), ("servers", servers, (20, 65))):
        is_pair = isinstance(given, (tuple, list)) and len(given) == 2 and all(map(_is_count, given))
        if not is_pair or given[0] > given[1]:
            rule = "must be two whole numbers of at least 1, the smaller first"
            problems.append(Problem(path, rule, given, f"write it like {example}"))
    if problems:
        raise ScenarioError(problems)
    return Claim(connections, tuple(per_server), tuple(servers))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _range(ends: tuple[int, int]) -> str:
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"
