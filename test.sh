#!/bin/sh
# Set up everything that the tests need, then run them all. Arguments go to pytest: ./test.sh tests/unit -k settings
set -eu
cd "$(dirname "$0")"

. setup/python.sh
"$PYTHON" setup/environment.py dev engine router
[ $# -gt 0 ] || set -- -n 2 --dist loadscope # much of it waits: two at once take little more than half the time
exec .venv/bin/python -m pytest "$@"
