#!/bin/sh
# Set up everything that the tests need, then run them all. Arguments go to pytest: ./test.sh tests/unit -k settings
set -eu
cd "$(dirname "$0")"

. setup/python.sh
"$PYTHON" setup/environment.py dev engine router
# Two files at once, the small ones last.
[ $# -gt 0 ] || set -- -n 2 --dist loadscope --no-loadscope-reorder
exec .venv/bin/python -m pytest "$@"
