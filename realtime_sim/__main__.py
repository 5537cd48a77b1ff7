"""`python -m realtime_sim` is the command `realtime-sim`."""

from realtime_sim.cli import main

if __name__ == "__main__":
    main()
