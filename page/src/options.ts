/** To whom one talks, and how: kept in this browser. */
import { computed, effect, signal } from "@preact/signals";
import { CHAT, endpointAt, endpoints } from "./endpoints.ts";
import type { Sampling, Turn } from "./thread.ts";

const KEPT_AS = "zephyr.options";

export interface Options {
  endpoint: string;
  /** The fields of the chosen endpoint that differ from what it does by itself. */
  fields: Turn["fields"];
  sampling: Sampling;
}

export const PLAIN: Sampling = { maxNewTokens: 512, doSample: true, temperature: 0.7, topK: 50, topP: 0.95 };

export const options = signal<Options>(kept());
/** The endpoint that one talks to. */
export const endpoint = computed(() => {
  const chosen = endpoints.value.some((one) => one.path === options.value.endpoint);
  return chosen ? endpointAt(options.value.endpoint) : (endpoints.value[0] ?? endpointAt(CHAT));
});

export function samplingNow(): Sampling {
  return { ...options.value.sampling };
}

export function choose(path: string): void {
  options.value = { ...options.value, endpoint: path, fields: {} };
}

/** Ask the next question as this one was asked: otherwise a conversation that is gone on with becomes another one. */
export function goOnAs({ endpoint, fields }: Turn): void {
  if (endpoints.value.some((one) => one.path === endpoint)) options.value = { ...options.value, endpoint, fields };
}

export function setField(name: string, value: string | number | boolean | null): void {
  options.value = { ...options.value, fields: { ...options.value.fields, [name]: value } };
}

export function setSampling(changed: Partial<Sampling>): void {
  options.value = { ...options.value, sampling: { ...options.value.sampling, ...changed } };
}

export function reset(): void {
  options.value = { ...options.value, fields: {}, sampling: { ...PLAIN } };
}

function kept(): Options {
  const plain: Options = { endpoint: CHAT, fields: {}, sampling: { ...PLAIN } };
  try {
    const found = JSON.parse(localStorage.getItem(KEPT_AS) ?? "{}") as Partial<Options>;
    return { ...plain, ...found, sampling: { ...PLAIN, ...found.sampling } };
  } catch (error) {
    if (error instanceof SyntaxError) return plain; // of another version, or edited
    throw error;
  }
}

effect(() => localStorage.setItem(KEPT_AS, JSON.stringify(options.value)));
