#!/bin/sh
# Set up what is missing, then start everything: PostgreSQL, the gateway on port 8000 and the engine.
set -eu
cd "$(dirname "$0")"

. setup/python.sh
if [ -n "${ENGINE_URL:-}" ]; then
    "$PYTHON" setup/environment.py gateway
else
    "$PYTHON" setup/environment.py gateway engine
fi
[ "$#" -gt 0 ] || set -- up
exec .venv/bin/zephyr "$@"
