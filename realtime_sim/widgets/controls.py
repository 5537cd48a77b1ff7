"""Controls for fields: a slider for a quantity, a list for names, a box to tick for yes or no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as ipw

from realtime_sim.scenario import Scenario
from realtime_sim.widgets.fields import Field

__all__ = ["WIDE", "control_of", "replaced"]

WIDE = ipw.Layout(width="100%")
"""As wide as there is room."""
STYLE = {"description_width": "11em"}


def control_of(field: Field) -> ipw.DOMWidget:
    """A control whose `value` is the number of one of the field's choices; of a box to tick, whether it is.

    Parameters
    ----------
    field : Field
        What it sets.

    Examples
    --------
    >>> from realtime_sim.widgets.fields import field_of
    >>> chat = Scenario(name="chat", duration="1s", clients=[{"name": "phones", "count": 100}])
    >>> slider = control_of(field_of(chat, "servers.count"))
    >>> slider.description, slider.tooltip, slider.label
    ('servers: count', 'How many, 1 to 10,000. (whole number)', '1')
    """
    about = f"{field.help} ({field.unit})" if field.unit else field.help
    named = {"description": field.label, "tooltip": about, "style": STYLE, "layout": WIDE}
    if [value for _, value in field.choices] == [False, True]:
        return ipw.Checkbox(value=bool(field.chosen), indent=True, **named)
    options = [(text, i) for i, (text, _) in enumerate(field.choices)]
    kind = ipw.SelectionSlider if field.is_quantity else ipw.Dropdown
    return kind(options=options, value=field.chosen, **named)


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
