# Sets PYTHON to the first Python 3.11 or newer, or explains that there is none. For `. setup/python.sh`.
for PYTHON in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    if [ -n "$PYTHON" ] && "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        return 0
    fi
done
echo "Python 3.11 or newer is needed and was not found. Install it, or set PYTHON to its path." >&2
exit 1
