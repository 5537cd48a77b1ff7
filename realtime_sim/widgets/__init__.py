"""Widgets for notebooks: move a slider, and see at once what follows. They need `pip install 'realtime-sim[notebook]'`.

`explore` moves the fields of any scenario, `storm` lets everybody reconnect at once, `transports` runs one scenario by
WebSocket, SSE and long polling, and `capacity` reckons servers. Each is an ipywidgets box with the `scenario` that its
controls stand for and the `results` that it shows; `on_update` has a function called whenever it shows something new.
"""

from realtime_sim.widgets.explorer import explore
from realtime_sim.widgets.reckoning import capacity
from realtime_sim.widgets.reconnects import storm
from realtime_sim.widgets.side_by_side import transports
from realtime_sim.widgets.study import Study

__all__ = ["Study", "capacity", "explore", "storm", "transports"]
