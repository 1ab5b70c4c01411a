# The engine: vLLM's own image, and beside its Python an environment of our own with the launcher (`zephyr engine`),
# which answers for vLLM only after vLLM has answered rightly.
FROM vllm/vllm-openai:v0.32.0
ENV ZEPHYR_ENGINE_PYTHON=/usr/bin/python3
RUN "$ZEPHYR_ENGINE_PYTHON" -c "from importlib.metadata import version; assert version('vllm') == '0.32.0'" \
    && install -d -o 2000 -g 0 /var/lib/zephyr /var/lib/zephyr/run
WORKDIR /build
RUN "$ZEPHYR_ENGINE_PYTHON" -m venv /opt/zephyr
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
    ZEPHYR_HOME=/var/lib/zephyr \
    ZEPHYR_LOG_FORMAT=json
USER 2000:0
WORKDIR /var/lib/zephyr
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/zephyr/bin/zephyr", "engine"]
