"""GPU and engine, as the websocket tells about once a second; three messages of it (pip install websockets)."""

import json
import os

from websockets.sync.client import connect

url, key = os.environ.get("ZEPHYR_URL", "http://localhost:8000"), os.environ.get("ZEPHYR_KEY", "none")

address = url.replace("http", "ws", 1) + "/zephyr/ws/gpu-stats"
with connect(address, additional_headers={"Authorization": f"Bearer {key}"}) as socket:
    for _ in range(3):
        told = json.loads(socket.recv())
        print(told["engine"]["running"], "running;", [gpu["name"] for gpu in told["gpus"]])
