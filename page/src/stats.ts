/** GPU and engine, as the gateway's websocket tells about once a second, for the last minutes. */
import { computed, signal } from "@preact/signals";
import { address, key } from "./api.ts";

const MOST_SAMPLES = 600;
const LONGEST_PAUSE_MS = 10_000;

export interface Gpu {
  id: number;
  name: string;
  load: number | null;
  memoryUsed: number | null;
  memoryTotal: number | null;
  temperature: number | null;
  power: number | null;
}

export interface Engine {
  ready: boolean;
  problem: string | null;
  running: number | null;
  waiting: number | null;
  kv_cache_usage: number | null;
  prompt_tokens_per_second: number | null;
  generation_tokens_per_second: number | null;
  time_to_first_token_seconds: number | null;
}

export interface Stats {
  gpus: Gpu[];
  gpu_problem: string | null;
  engine: Engine;
}

export interface Sample extends Stats {
  /** Unix time in seconds. */
  at: number;
}

export const samples = signal<readonly Sample[]>([]);
export const connected = signal(false);
export const latest = computed(() => samples.value.at(-1) ?? null);

interface Part {
  ready: boolean;
  problem: string | null;
  seconds: number;
  detail: Record<string, unknown>;
}

interface Readiness {
  ready: boolean;
  parts: Record<string, Part>;
}

const readiness = signal<{ told: Readiness; at: number } | null>(null);

/** Whether answers can be had now, and what is missing. */
export const engine = computed(() => {
  const told = readiness.value?.told;
  const models = told?.parts["engine"]?.detail["models"];
  const missing = Object.entries(told?.parts ?? {}).filter(([, part]) => !part.ready);
  return {
    known: told !== undefined,
    ready: told?.ready ?? false,
    model: Array.isArray(models) && typeof models[0] === "string" ? models[0] : null,
    missing: missing.map(([name, part]) => ({
      name,
      problem: part.problem ?? "is not ready",
      since: (readiness.value?.at ?? 0) - part.seconds * 1000,
    })),
  };
});

/** Looks every ten seconds, and every second while something is missing. */
export async function watchReadiness(): Promise<void> {
  for (;;) {
    try {
      const headers: HeadersInit = key.value ? { authorization: `Bearer ${key.value}` } : {};
      const told = (await (await fetch(address("/readyz"), { headers })).json()) as Partial<Readiness>;
      // An answer without parts is a refusal, which says nothing of them.
      readiness.value = told.parts ? { told: { ready: told.ready === true, parts: told.parts }, at: Date.now() } : null;
    } catch {
      const away: Part = { ready: false, problem: "The gateway cannot be reached.", seconds: 0, detail: {} };
      readiness.value = { told: { ready: false, parts: { gateway: away } }, at: Date.now() };
    }
    await new Promise((resolve) => setTimeout(resolve, engine.value.ready ? 10_000 : 1000));
  }
}

/** Keeps a connection open while the page is on a screen. */
export function watchStats(): void {
  let socket: WebSocket | null = null;
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function connect(): void {
    if (socket || document.hidden) return;
    const url = address("/zephyr/ws/gpu-stats");
    url.protocol = url.protocol.replace("http", "ws");
    socket = new WebSocket(url, key.value ? ["zephyr", `key.${key.value}`] : []);
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      failures = 0;
      connected.value = true;
      const sample = { ...(JSON.parse(data) as Stats), at: Date.now() / 1000 };
      samples.value = [...samples.value.slice(1 - MOST_SAMPLES), sample];
    };
    socket.onclose = () => {
      socket = null;
      connected.value = false;
      clearTimeout(timer);
      timer = setTimeout(connect, Math.min(LONGEST_PAUSE_MS, 500 * 2 ** failures++));
    };
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) socket?.close();
    else connect();
  });
  addEventListener("online", connect);
  key.subscribe(() => socket?.close());
  connect();
}
