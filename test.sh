#!/bin/sh
# Set up everything that the tests need, then run all but one. Arguments go to pytest: ./test.sh tests/unit -k settings
set -eu
cd "$(dirname "$0")"

. setup/python.sh
"$PYTHON" setup/environment.py dev engine router
# Two files at once, and without the one test that compiles a model for minutes: ./test.sh -m wrong_engine
[ $# -gt 0 ] || set -- -n 2 --dist loadscope -m "not wrong_engine"
exec .venv/bin/python -m pytest "$@"
