#!/bin/sh
# A plain answer, a streamed one, and the newest exchange of the log, with nothing but curl.
set -eu

url="${ZEPHYR_URL:-http://localhost:8000}"
key="${ZEPHYR_KEY:-none}"

ask() {
    curl --fail-with-body --silent --show-error --no-buffer -H "Authorization: Bearer $key" "$@"
    echo
}

ask "$url/v1/chat/completions" -H 'Content-Type: application/json' \
    -d '{"model": "zephyr-7b-beta", "messages": [{"role": "user", "content": "What is a queue?"}]}'
ask "$url/zephyr/python" -H 'Content-Type: application/json' \
    -d '{"user_message": "How do I reverse a list?", "stream": true}'
ask "$url/log/exchanges?limit=1"
