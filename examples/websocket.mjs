// GPU and engine, as the websocket tells about once a second; three messages of it. Nothing to install: Node 22 or newer.
// The key goes into the protocols, as in a browser, which cannot send headers with a websocket.
const { ZEPHYR_URL: url = "http://localhost:8000", ZEPHYR_KEY: key = "none" } = process.env;

const address = `${url.replace("http", "ws")}/zephyr/ws/gpu-stats`;
const socket = new WebSocket(address, ["zephyr", `key.${key}`]);
let left = 3;
socket.onmessage = ({ data }) => {
  const { engine, gpus } = JSON.parse(data);
  console.log(`${engine.running} running; [${gpus.map((gpu) => gpu.name)}]`);
  if (--left === 0) socket.close();
};
socket.onclose = () => {
  if (left > 0) throw new Error("the gateway closed the connection, or refused it");
};
