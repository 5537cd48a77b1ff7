"""The command `realtime-sim`: a scenario in, tables and JSON out. Bad input is one message and exit code 2.

`app` is the program, `inputs` what its commands have in common; the other modules hold the commands.
"""

from realtime_sim.cli import simulating, planning, living, deploying, answering  # isort: skip - the order of the commands in the help
from realtime_sim.cli.app import main

__all__ = ["answering", "deploying", "living", "main", "planning", "simulating"]
