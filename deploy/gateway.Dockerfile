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
COPY page page
COPY setup/page.py setup/page.lock setup/hatch_page.py setup/
RUN /opt/zephyr/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim-bookworm
COPY --from=build /opt/zephyr /opt/zephyr
# Where the engine's socket and the spool are mounted: a volume takes its owner from the image that meets it first.
RUN install -d -o 2000 -g 2000 /var/lib/zephyr/run /var/lib/zephyr/spool
ENV PATH=/opt/zephyr/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ZEPHYR_HOST=0.0.0.0
USER 2000:2000
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "adapters"]
