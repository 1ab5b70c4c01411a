#!/bin/sh
# Make the six locks anew. Needs uv; takes a few seconds. Any extra arguments (for instance --upgrade) go to uv.
set -eu
cd "$(dirname "$0")"

lock() {
    target="$1"
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
        --custom-compile-command "setup/lock.sh" --output-file "$target" "$@"
}

lock gateway.lock ../pyproject.toml build.in "$@"
lock dev.lock --extra dev --constraint gateway.lock ../pyproject.toml build.in "$@"
lock page.lock --constraint dev.lock page.in "$@"
lock router.lock --constraint gateway.lock router.in "$@"
lock engine-cuda.lock engine-cuda.in "$@"

left_out=$(sed -n 's/^\([a-z-]*\) ;.*/--no-emit-package \1/p' engine-cpu.overrides)
# shellcheck disable=SC2086  # one word for each option is what is wanted
lock engine-cpu.lock --override engine-cpu.overrides $left_out engine-cpu.in "$@"
