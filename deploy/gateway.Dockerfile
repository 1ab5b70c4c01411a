# The gateway: a slim Python, the locked packages, this package. No vLLM, no CUDA, no compiler, not root.
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/zephyr
COPY setup/gateway.lock setup/
RUN /opt/zephyr/bin/pip install --no-cache-dir --require-hashes --no-deps -r setup/gateway.lock
COPY pyproject.toml README.md LICENSE ./
COPY adapters adapters
COPY serving serving
COPY zephyr zephyr
RUN /opt/zephyr/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim-bookworm
COPY --from=build /opt/zephyr /opt/zephyr
ENV PATH=/opt/zephyr/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ZEPHYR_HOST=0.0.0.0
# The uid that also owns the engine's socket.
USER 2000:2000
WORKDIR /home
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "adapters"]
