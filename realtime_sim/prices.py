"""Prices: what a user pays for servers, brokers and traffic, and what a number of servers costs a month by them.

There is no price of ours: what is not in the table is not in the sum.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, PrivateAttr, ValidationError, WithJsonSchema

from realtime_sim.errors import Problem, ScenarioError, close_to
from realtime_sim.scenario.problems import problems_of
from realtime_sim.scenario.quantities import Broken, Name, Part, Text, fault, faults
from realtime_sim.scenario.text import UNREADABLE, read_text, read_value
from realtime_sim.units import parse_number

__all__ = ["GB", "HOURS_A_MONTH", "Cost", "Prices"]

HOURS_A_MONTH = 730
"""365 days of 24 hours, a twelfth of them; what cloud providers reckon a month with."""

GB = 10**9
"""Bytes of the gigabyte that traffic is paid by."""

_STEP = "write it like 0.25, in the currency of the table"
_MOST = 1e12


def _amount(value: object) -> float:
    price = parse_number(value)
    if not 0 <= price <= _MOST:
        raise ValueError(f"must be from 0 to {_MOST:,.0f}")
    return price


def _price(value: object) -> float:
    try:
        return _amount(value)
    except ValueError as error:
        raise fault(str(error), _STEP) from None


def _price_or_prices(value: object) -> float | dict[str, float]:
    """One price for all, or one for each name."""
    if not isinstance(value, Mapping):
        return _price(value)
    prices, broken = {}, []
    for name, given in value.items():
        try:
            prices[str(name)] = _amount(given)
        except ValueError as error:
            broken.append(Broken(str(error), _STEP, str(name)))
    if broken:
        raise faults(broken)
    if not prices:
        raise fault("must have a price", "write it like {small: 0.05, large: 0.20}, or give one price for all")
    return prices


def _written(value: float | Mapping[str, float]) -> object:
    return dict(value) if isinstance(value, Mapping) else value


_NUMBER = {"type": "number", "minimum": 0, "examples": [0.25]}
_Price = Annotated[float, BeforeValidator(_price), WithJsonSchema(_NUMBER)]
_PriceOrPrices = Annotated[
    Any,
    BeforeValidator(_price_or_prices),
    PlainSerializer(_written),
    WithJsonSchema({"anyOf": [_NUMBER, {"type": "object", "additionalProperties": _NUMBER, "minProperties": 1}]}),
]


@dataclass(frozen=True, slots=True)
class Cost:
    """What something costs a month, in `currency`.

    Parameters
    ----------
    currency : str
        Of the price table.
    servers, broker, egress : float
        Server processes, broker instances, and bytes sent to clients, a month.
    """

    currency: str
    servers: float
    broker: float
    egress: float

    @property
    def total(self) -> float:
        """All of it a month."""
        return self.servers + self.broker + self.egress

    def __str__(self) -> str:
        return f"{self.total:,.0f} {self.currency} a month"

    def to_plain(self) -> dict[str, object]:
        """Plain dicts and numbers, as JSON holds them."""
        return {**dataclasses.asdict(self), "total": self.total}


class Prices(Part):
    """A user's price table.

    Parameters
    ----------
    currency : str
        What the prices are in.
    server_per_hour : float or dict
        Of one server, an hour: one price for all, or one for each name of a size or a profile of servers.
    broker_per_hour : float or dict
        Of one broker instance (a whole cluster of Kafka or JetStream), an hour: one price, or one for each kind.
    egress_per_gb : float
        Of 10**9 bytes sent to clients, headers of TLS and TCP/IP included.
    source : str
        Where the prices are from, and of which day; a report shows it.

    Raises
    ------
    ScenarioError
        With one line for every field that is wrong.

    Examples
    --------
    >>> prices = Prices(currency="EUR", server_per_hour={"small": 0.05, "large": 0.20}, egress_per_gb=0.01)
    >>> cost = prices.monthly(10, ["small"], egress_bytes_per_s=1e6)
    >>> cost.servers, round(cost.egress, 2), str(cost)
    (365.0, 26.28, '391 EUR a month')
    """

    currency: Name
    server_per_hour: _PriceOrPrices
    broker_per_hour: _PriceOrPrices = 0.0
    egress_per_gb: _Price = 0.0
    source: Text = ""
    _file: str = PrivateAttr("")
    """The file that it was read from, for messages: a table is the same from wherever it is."""

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise ScenarioError(problems_of(error, type(self), "prices")) from None

    def __eq__(self, other: object) -> bool:
        return dict(self) == dict(other) if isinstance(other, Prices) else NotImplemented

    @classmethod
    def read(cls, source: Prices | Mapping[str, object] | str | Path) -> Prices:
        """A price table from a YAML file or a mapping of its fields; one that is read already stays as it is.

        Raises
        ------
        ScenarioError
            If the file cannot be read, is no YAML, or breaks a rule.
        """
        if isinstance(source, Prices):
            return source
        where = str(source) if isinstance(source, (str, Path)) else ""
        plain = _in_file(Path(source)) if isinstance(source, (str, Path)) else source
        if not isinstance(plain, Mapping) or not all(isinstance(key, str) for key in plain):
            step = "start with 'currency:' and 'server_per_hour:'"
            raise ScenarioError(Problem("prices", "must be a mapping of fields", plain, step), where)
        try:
            table = cls(**plain)
        except ScenarioError as error:
            raise ScenarioError(error.problems, where) from None
        table._file = where
        return table

    def has_price(self, name: str) -> bool:
        """Whether there is a price for servers of this size or profile."""
        return not isinstance(self.server_per_hour, Mapping) or name in self.server_per_hour

    def monthly(
        self, servers: int, names: Sequence[str], *, brokers: int = 0, kind: str = "", egress_bytes_per_s: float = 0.0
    ) -> Cost:
        """What so many servers cost a month.

        Parameters
        ----------
        servers : int
            How many.
        names : sequence of str
            What their size and profile are called; the first that has a price counts.
        brokers : int
            Broker instances.
        kind : str
            Of the broker.
        egress_bytes_per_s : float
            Bytes a second to all clients.

        Raises
        ------
        ScenarioError
            If the table has prices by name, and none for these.
        """
        hour = HOURS_A_MONTH
        return Cost(
            self.currency,
            servers * hour * self._hourly("server_per_hour", names),
            brokers * hour * self._hourly("broker_per_hour", [kind]) if brokers else 0.0,
            egress_bytes_per_s * hour * 3600 / GB * self.egress_per_gb,
        )

    def _hourly(self, field: str, names: Sequence[str]) -> float:
        """The price of the first of these names that has one."""
        prices = getattr(self, field)
        if not isinstance(prices, Mapping):
            return prices
        found = next((prices[name] for name in names if name in prices), None)
        if found is None:
            raise ScenarioError(_missing(f"prices.{field}", prices, list(dict.fromkeys(names))), self._file)
        return found


def _missing(path: str, prices: Mapping[str, float], names: Sequence[str]) -> Problem:
    """What to say where none of the names has a price: an entry that is nearly one of them is likely misspelt."""
    for name in names:
        for entry in close_to(name, prices):
            rule = f"must be the name of what is asked for ({' or '.join(map(repr, names))} has no price)"
            return Problem(f"{path}.{entry}", rule, entry, f"did you mean {name!r}? If not, add a price for it")
    rule = f"must have a price for {' or '.join(map(repr, names))}"
    return Problem(path, rule, dict(prices), "add it, or give one price for all")


def _in_file(path: Path) -> object:
    try:
        with path.open("rb") as file:
            return read_value(read_text(file, str(path)))
    except ScenarioError:
        raise
    except (OSError, *UNREADABLE) as error:
        why = getattr(error, "strerror", None) or getattr(error, "problem", None) or type(error).__name__
        step = "write one with currency, server_per_hour, broker_per_hour and egress_per_gb"
        raise ScenarioError(Problem("prices", f"must be a readable YAML file ({why})", str(path), step)) from None
