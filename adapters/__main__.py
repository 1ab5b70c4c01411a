"""`python -m adapters`: the gateway, or another of its commands."""

import sys

from adapters.cli import app

if __name__ == "__main__":
    app(sys.argv[1:] or ["gateway"], prog_name="python -m adapters")
