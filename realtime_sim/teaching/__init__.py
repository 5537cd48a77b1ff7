"""Teaching: what the notebooks ask, and whether an answer is right.

Each exercise is a module of its own with a function `judge`, which finds the truth by the same simulations and formulas
the package offers, and one scenario in YAML where notebook and judge need the same.
"""

from realtime_sim.teaching.checking import EXERCISES, Verdict, check, scenario

__all__ = ["EXERCISES", "Verdict", "check", "scenario"]
