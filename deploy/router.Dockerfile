# The router in front of several engines: vLLM's own. It asks nobody who they are and takes orders on the same port, so
# that only the gateway may reach it.
FROM python:3.13-slim-bookworm
WORKDIR /build
RUN python -m venv /opt/router
COPY setup/router.lock setup/
RUN /opt/router/bin/pip install --no-cache-dir --require-hashes --no-deps -r setup/router.lock
ENV PATH=/opt/router/bin:$PATH \
    RUST_LOG=warn \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 2000:2000
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
# As serving/router.py runs it; why so is in docs/decisions/0025. A conversation goes to the engine that its session, which
# the gateway names, is hashed to. Requests wait in the gateway, so that here none is queued or refused by number; the
# gateway's own timeouts and limits are the ones that count.
ENTRYPOINT ["vllm-router", "--host", "0.0.0.0", "--port", "8000", "--policy", "consistent_hash", \
    "--health-check-interval-secs", "2", "--health-check-timeout-secs", "2", \
    "--health-failure-threshold", "2", "--health-success-threshold", "1", \
    "--retry-max-retries", "3", "--cb-failure-threshold", "2", "--cb-timeout-duration-secs", "2", \
    "--max-payload-size", "8388608", "--request-timeout-secs", "3600", \
    "--max-concurrent-requests", "8192", "--queue-size", "0", \
    "--worker-startup-timeout-secs", "3600", "--worker-startup-check-interval", "1"]
