# The engine without a GPU: vLLM's CPU build, installed as on a bare machine, and the launcher beside it.
FROM python:3.11-slim-bookworm
# What vLLM's CPU build links and loads; the compiler is torch's.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes g++ libnuma1 libtcmalloc-minimal4 \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 2000 -g 0 /var/lib/zephyr /var/lib/zephyr/run
WORKDIR /opt/engine
COPY setup/environment.py setup/engine-cpu.lock setup/
RUN ZEPHYR_ENGINE_BUILD=cpu PIP_NO_CACHE_DIR=1 python setup/environment.py engine
WORKDIR /build
RUN python -m venv /opt/zephyr
COPY setup/gateway.lock setup/
RUN /opt/zephyr/bin/pip install --no-cache-dir --require-hashes --no-deps -r setup/gateway.lock
COPY pyproject.toml README.md LICENSE ./
COPY adapters adapters
COPY serving serving
COPY zephyr zephyr
COPY setup/page.py setup/hatch_page.py setup/
RUN /opt/zephyr/bin/pip install --no-cache-dir --no-deps --no-build-isolation .
# torch names its caches after the user, and this uid may have no name of its own.
ENV HOME=/var/lib/zephyr \
    LOGNAME=zephyr \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ZEPHYR_ENGINE_PYTHON=/opt/engine/.venv-engine/bin/python \
    ZEPHYR_HOME=/var/lib/zephyr \
    ZEPHYR_LOG_FORMAT=json
USER 2000:0
WORKDIR /var/lib/zephyr
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/zephyr/bin/zephyr", "engine"]
