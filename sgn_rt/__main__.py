"""``python -m sgn_rt``: the command line."""

from sgn_rt.cli import main

if __name__ == "__main__":
    main()
