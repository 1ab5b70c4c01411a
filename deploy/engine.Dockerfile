# The engine: vLLM's own image, and the launcher that answers for it only after it has answered rightly.
# The launcher needs nothing that this image does not have: it is copied, not installed.
FROM vllm/vllm-openai:v0.32.0
COPY serving /opt/zephyr/serving
COPY zephyr /opt/zephyr/zephyr
RUN install -d -o 2000 -g 0 /var/lib/zephyr /var/lib/zephyr/run
ENV PYTHONPATH=/opt/zephyr \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/zephyr \
    ZEPHYR_HOME=/var/lib/zephyr \
    ZEPHYR_ENGINE_PYTHON=/usr/bin/python3
USER 2000:0
WORKDIR /var/lib/zephyr
STOPSIGNAL SIGTERM
ENTRYPOINT ["python3", "-m", "zephyr", "engine"]
