"""Controls for fields: a slider for a quantity, a list for names, a box to tick for yes or no."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ipywidgets as ipw

from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.scenario import Scenario
from realtime_sim.widgets.fields import Field, field_of, usual_fields

__all__ = ["STYLE", "WIDE", "chosen_fields", "control_of", "replaced"]

WIDE = ipw.Layout(width="auto")
"""As wide as there is room."""
STYLE = {"description_width": "11em"}
"""Room for the longest label that is usual."""


def control_of(field: Field) -> ipw.DOMWidget:
    """A control whose `value` is the number of one of the field's choices; of a box to tick, whether it is.

    Parameters
    ----------
    field : Field
        What it sets.

    Examples
    --------
    >>> chat = Scenario(name="chat", duration="1s", clients=[{"name": "phones", "count": 100}])
    >>> slider = control_of(field_of(chat, "servers.count"))
    >>> slider.description, slider.tooltip, slider.options[0]
    ('servers: count', 'How many, 1 to 10,000. (whole number)', ('1', 0))
    """
    about = f"{field.help} ({field.unit})" if field.unit else field.help
    named = {"description": field.label, "tooltip": about, "style": STYLE, "layout": WIDE}
    if [value for _, value in field.choices] == [False, True]:
        return ipw.Checkbox(value=bool(field.chosen), indent=True, **named)
    options = [(text, i) for i, (text, _) in enumerate(field.choices)]
    kind = ipw.SelectionSlider if field.is_quantity else ipw.Dropdown
    return kind(options=options, value=field.chosen, **named)


def chosen_fields(
    scenario: Scenario, over: Sequence[str] | Mapping[str, Sequence[Any] | None] | None, besides: Sequence[str] = ()
) -> list[Field]:
    """The fields that a user has named, or those that are usually asked about.

    Parameters
    ----------
    scenario : Scenario
        Whose they are.
    over : sequence of str, or mapping of str to sequence, optional
        Paths; of a mapping, the values to choose from, or None for those around the scenario's.
    besides : sequence of str
        What is asked about besides where none is named.

    Raises
    ------
    ScenarioError
        If there are no paths, or one leads to no field or to none that can be chosen from a row of values.
    """
    if over is None:
        over = [*usual_fields(scenario), *besides]
    rows = over.values() if isinstance(over, Mapping) else ()
    if (
        isinstance(over, str)
        or not isinstance(over, Iterable)
        or not all(isinstance(path, str) for path in over)
        or not all(row is None or (isinstance(row, Iterable) and not isinstance(row, str)) for row in rows)
    ):
        step = 'write it like ["servers.count"] or {"servers.count": [4, 8]}'
        raise ScenarioError(Problem("over", "must be paths of fields, or rows of values by path", over, step))
    named = over if isinstance(over, Mapping) else dict.fromkeys(over)
    return [field_of(scenario, path, values) for path, values in named.items()]


def replaced(scenario: Scenario, fields: Sequence[Field], controls: Mapping[str, ipw.DOMWidget]) -> Scenario:
    """The scenario with what the controls say; of controls that stand where they began, nothing is written.

    Parameters
    ----------
    scenario : Scenario
        With which the fields began.
    fields : sequence of Field
        In the order in which they are written.
    controls : mapping of str to Widget
        By the paths of the fields.

    Raises
    ------
    ScenarioError
        If the values do not go together.
    """
    changes: dict[str, Any] = {}
    for field in fields:
        i = int(controls[field.path].value)
        if i != field.chosen:
            changes[field.at] = field.choices[i][1]
    return scenario.replace(**changes) if changes else scenario
