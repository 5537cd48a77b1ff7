"""Reasons: a value in a nested structure that says where it comes from, and YAML with the reasons as comments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["Because", "comment", "commented", "markdown", "plain", "reasons", "shown"]

WIDTH = 120
"""Columns of a comment."""

_UNBROKEN = 10_000
"""Columns of a line of YAML: an expression stays whole."""


class _Dumper(yaml.SafeDumper):
    """Text that other readers take for something else is quoted, too: Kubernetes' reads y and n as YAML 1.1 has them,
    and 1e5 as YAML 1.2 does."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[\d_]+(\.[\d_]*)?[eE][-+]?\d+$"), list("-+0123456789")
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("[-+]?0[oO][0-7_]+$"), list("-+0"))


@dataclass(frozen=True, slots=True)
class Because:
    """A value, and why it is this one.

    Parameters
    ----------
    value : object
        Any part of a manifest.
    why : str
        Where it comes from.
    """

    value: Any
    why: str


def plain(value: Any) -> Any:
    """Dicts, lists, numbers and text, without the reasons.

    Examples
    --------
    >>> plain({"replicas": Because(4, "servers.count")})
    {'replicas': 4}
    """
    if isinstance(value, Because):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def reasons(value: Any, path: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], str]:
    """The reason of each value that has one, by its path.

    Parameters
    ----------
    value : object
        A structure.
    path : tuple
        Where it stands in a larger one.

    Examples
    --------
    >>> reasons({"spec": {"replicas": Because(4, "servers.count")}})
    {('spec', 'replicas'): 'servers.count'}
    """
    found = {}
    if isinstance(value, Because):
        found[path] = value.why
        value = value.value
    if isinstance(value, Mapping):
        steps = list(value.items())
    else:
        steps = list(enumerate(value)) if isinstance(value, (list, tuple)) else []
    for step, one in steps:
        found |= reasons(one, (*path, step))
    return found


def shown(text: str) -> str:
    """Text of a scenario for a comment: signs that files do not take, or that change how others look, are escaped.

    Examples
    --------
    >>> shown("chat 🙂\\uffff")
    'chat 🙂\\\\uffff'
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def markdown(text: str) -> str:
    """Text as Markdown that holds neither HTML nor links of its own.

    Examples
    --------
    >>> markdown("<b>chat</b> [1](javascript:x)")
    '&lt;b>chat&lt;/b> [1]\\\\(javascript:x)'
    """
    return shown(text).replace("<", "&lt;").replace("](", "]\\(")


def comment(text: str, width: int = WIDTH) -> list[str]:
    """Lines of a comment, as YAML, HAProxy and nginx have them.

    Examples
    --------
    >>> comment("servers.count, the answer", width=20)
    ['# servers.count, the', '# answer']
    """
    parts = textwrap.wrap(shown(text), max(18, width - 2), break_long_words=False, break_on_hyphens=False)
    return [f"# {part}" for part in parts]


def commented(value: Any) -> str:
    """YAML of a structure, each reason as a comment above what it is about.

    Parameters
    ----------
    value : object
        A structure.

    Examples
    --------
    >>> print(commented({"spec": {"replicas": Because(4, "servers.count")}}), end="")
    spec:
      # servers.count
      replicas: 4
    """
    text = yaml.dump(plain(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_UNBROKEN)
    lines = [[line] for line in text.splitlines()]
    numbers = _line_numbers(yaml.compose(text), ())
    for path, why in reasons(value).items():
        block = lines[numbers[path]]
        indent = " " * (len(block[-1]) - len(block[-1].lstrip()))
        block[:0] = [indent + line for line in comment(why, WIDTH - len(indent))]
    return "\n".join(part for block in lines for part in block) + "\n"


def _line_numbers(node: yaml.Node | None, path: tuple[str | int, ...]) -> dict[tuple[str | int, ...], int]:
    """The line on which the key, or the item, of each path begins."""
    found = {}
    if isinstance(node, yaml.MappingNode):
        parts = [(key.value, key, value) for key, value in node.value]
    else:
        parts = [(i, one, one) for i, one in enumerate(node.value)] if isinstance(node, yaml.SequenceNode) else []
    for step, begins, value in parts:
        found[(*path, step)] = begins.start_mark.line
        found |= _line_numbers(value, (*path, step))
    return found
