/** Calls of the gateway's API, which is one level above the page. */
import { signal } from "@preact/signals";

const ROOT = new URL("../", document.baseURI);
const KEPT_AS = "zephyr.key";

/** The API key of this tab; it is sent in a header, and forgotten when the tab is closed. */
export const key = signal(sessionStorage.getItem(KEPT_AS) ?? "");
/** Whether the API has refused to answer without a key, or with this one. */
export const keyWanted = signal(false);

export function useKey(value: string): void {
  sessionStorage.setItem(KEPT_AS, value);
  key.value = value;
  keyWanted.value = false;
}

/** The API refused, in its own words. */
export class Refused extends Error {
  readonly status: number;
  readonly retryAfter: number | null;

  constructor(status: number, message: string, retryAfter: number | null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export function address(path: string): URL {
  return new URL(path.replace(/^\//, ""), ROOT);
}

/** Throws Refused for an error of the API, TypeError where it cannot be reached. */
export async function call(path: string, options: RequestInit = {}): Promise<Response> {
  const headers = new Headers(options.headers);
  if (key.value) headers.set("authorization", `Bearer ${key.value}`);
  if (options.body) headers.set("content-type", "application/json");
  const response = await fetch(address(path), { ...options, headers, credentials: "same-origin" });
  if (response.ok) return response;
  if (response.status === 401) keyWanted.value = true;
  const retry = Number(response.headers.get("retry-after") ?? Number.NaN);
  throw new Refused(response.status, await problem(response), Number.isFinite(retry) ? retry : null);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await call(path, signal ? { signal } : {})).json()) as T;
}

export async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
  const options: RequestInit = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  return (await (await call(path, options)).json()) as T;
}

/** What went wrong, as a sentence. */
export function told(error: unknown): string {
  if (error instanceof Refused) return error.message;
  if (error instanceof TypeError) return "The server cannot be reached.";
  return error instanceof Error ? error.message : String(error);
}

async function problem(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { error?: { message?: string } };
    if (body.error?.message) return body.error.message;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error; // an answer of a proxy, which is no JSON
  }
  return `The server answered with status ${response.status}.`;
}
