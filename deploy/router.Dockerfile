# The router in front of several engines: vLLM's own. It asks nobody who they are and takes orders on the same port, so
# that only the gateway may reach it.
FROM python:3.13-slim-bookworm
WORKDIR /build
RUN python -m venv /opt/router
COPY setup/router.lock setup/
RUN /opt/router/bin/pip install --no-cache-dir --require-hashes --no-deps -r setup/router.lock
ENV PATH=/opt/router/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 2000:2000
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
# Text that was seen before goes to the engine that saw it. Requests wait in the gateway, so that here none is queued or
# refused by number; the gateway's own timeouts and limits are the ones that count.
ENTRYPOINT ["vllm-router", "--host", "0.0.0.0", "--port", "8000", "--policy", "cache_aware", \
    "--health-check-interval-secs", "3", "--health-check-timeout-secs", "2", "--health-failure-threshold", "2", \
    "--retry-max-retries", "2", "--max-payload-size", "8388608", "--request-timeout-secs", "3600", \
    "--max-concurrent-requests", "8192", "--queue-size", "0", "--worker-startup-timeout-secs", "3600"]
