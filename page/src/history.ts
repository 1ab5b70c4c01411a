/** One's own conversations in the log: listed, searched, opened, renamed, deleted. */
import { signal } from "@preact/signals";
import { get, send, told } from "./api.ts";
import { type Thread, type Turn, emptyThread } from "./thread.ts";
import { forgetConversation } from "./memory.ts";
import { CHAT, endpointAt } from "./endpoints.ts";
import { PLAIN } from "./options.ts";

const A_PAGE = 30;

export interface Listed {
  id: string;
  title: string | null;
  created_at: number;
  updated_at: number;
  exchanges: number;
}

interface Page<T> {
  data: T[];
  last_id: string | null;
  has_more: boolean;
}

interface Message {
  role?: string;
  content?: unknown;
}

export interface Exchange {
  id: string;
  conversation_id: string;
  parent_id: string | null;
  endpoint: string;
  input: unknown;
  parameters: Record<string, unknown> | null;
  answer: Message[] | null;
  finish_reason: string | null;
  outcome: "completed" | "length" | "failed" | "cancelled" | "client_gone";
  error: { message?: string } | null;
  prompt_tokens: number | null;
  completion_tokens: number | null;
  first_token_ms: number | null;
  total_ms: number;
  started_at: string;
  deleted_at: string | null;
  feedback: { rating: number | null } | null;
}

export const listed = signal<Listed[]>([]);
export const more = signal<string | null>(null);
export const hits = signal<Exchange[] | null>(null);
/** Why the log cannot be shown. */
export const historyProblem = signal<string | null>(null);

export async function refreshHistory(): Promise<void> {
  await page(null);
}

export async function readOn(): Promise<void> {
  if (more.value) await page(more.value);
}

async function page(after: string | null): Promise<void> {
  try {
    const query = new URLSearchParams({ limit: String(A_PAGE), ...(after ? { after } : {}) });
    const found = await get<Page<Listed>>(`/v1/conversations?${query}`);
    const before = after ? listed.value : [];
    listed.value = [...before, ...found.data];
    more.value = found.has_more ? found.last_id : null;
    historyProblem.value = null;
  } catch (error) {
    historyProblem.value = told(error);
  }
}

let searching: AbortController | null = null;

export async function search(words: string): Promise<void> {
  searching?.abort();
  if (!words.trim()) {
    hits.value = null;
    return;
  }
  searching = new AbortController();
  try {
    const query = new URLSearchParams({ q: words.slice(0, 512), limit: "30" });
    hits.value = (await get<Page<Exchange>>(`/log/search?${query}`, searching.signal)).data;
    historyProblem.value = null;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return; // more was typed
    historyProblem.value = told(error);
  }
}

/** A conversation as a tree; `at` is the exchange whose branch is to be shown, else the newest one. */
export async function read(conversation: string, at?: string): Promise<Thread> {
  const exchanges = (await all(conversation)).filter((one) => one.deleted_at === null);
  const thread: Thread = { ...emptyThread(), id: plain(conversation), conversation };
  let shown: string | null = at ?? exchanges.at(-1)?.id ?? null;
  const there = new Set(exchanges.map((one) => one.id));
  const systems = new Map<string, string>();
  for (const one of exchanges) {
    const parent = one.parent_id !== null && there.has(one.parent_id) ? one.parent_id : null;
    const system = said(one.input, "system") ?? systems.get(parent ?? "") ?? "";
    systems.set(one.id, system);
    thread.turns[one.id] = turnOf(one, parent, system);
  }
  for (let turn = shown === null ? undefined : thread.turns[shown]; turn; turn = thread.turns[shown ?? ""]) {
    thread.shown[turn.parent ?? ""] = turn.id;
    shown = turn.parent;
    if (shown === null) break;
  }
  return thread;
}

export async function rename(conversation: string, title: string | null): Promise<void> {
  await send("POST", `/log/conversations/${conversation}`, { title });
  await refreshHistory();
}

export async function remove(conversation: string): Promise<void> {
  for (let has_more = true; has_more; ) {
    ({ has_more } = await send<{ has_more: boolean }>("DELETE", `/log/conversations/${conversation}`));
  }
  await forgetConversation(conversation);
  await refreshHistory();
}

export async function all(conversation: string): Promise<Exchange[]> {
  const found: Exchange[] = [];
  for (let after: string | null = null, has_more = true; has_more; ) {
    const query = new URLSearchParams({ conversation, limit: "100", ...(after ? { after } : {}) });
    const page: Page<Exchange> = await get<Page<Exchange>>(`/log/exchanges?${query}`);
    found.push(...page.data);
    after = page.last_id;
    has_more = page.has_more;
  }
  return found.reverse();
}

export function question(exchange: Exchange): string {
  return said(exchange.input, "user") ?? (typeof exchange.input === "string" ? exchange.input : "");
}

export function answerOf(exchange: Exchange): string {
  return textOf(exchange.answer?.[0]?.content);
}

function turnOf(one: Exchange, parent: string | null, system: string): Turn {
  const { main, fields } = endpointAt(one.endpoint);
  const given = one.parameters ?? {};
  const own = Object.fromEntries(
    fields.filter(({ name }) => name in given).map(({ name }) => [name, given[name] as string]),
  );
  if (system && fields.some(({ name, initial }) => name === "system_message" && initial !== system)) {
    own["system_message"] ??= system;
  }
  const number = (name: string, otherwise: number) => (typeof given[name] === "number" ? given[name] : otherwise);
  const asked = given[main];
  return {
    id: one.id,
    exchange: one.id,
    parent,
    endpoint: one.endpoint,
    question: typeof asked === "string" ? asked : question(one),
    fields: one.endpoint === CHAT ? { system_message: system } : own,
    sampling: {
      maxNewTokens: number("max_new_tokens", number("max_tokens", PLAIN.maxNewTokens)),
      doSample: given["do_sample"] !== false && given["temperature"] !== 0,
      temperature: number("temperature", PLAIN.temperature),
      topK: number("top_k", PLAIN.topK),
      topP: number("top_p", PLAIN.topP),
    },
    key: "",
    answer: answerOf(one),
    ...ending(one),
    measured: measured(one),
    ...(one.feedback?.rating ? { rating: one.feedback.rating } : {}),
  };
}

function ending(one: Exchange): Pick<Turn, "state"> & Partial<Pick<Turn, "problem" | "finish">> {
  const finish = one.finish_reason === null ? {} : { finish: one.finish_reason };
  if (one.outcome === "completed" || one.outcome === "length") return { state: "done", ...finish };
  if (one.outcome !== "failed") return { state: "stopped" };
  const state = answerOf(one) ? "broken" : "failed";
  return { state, problem: one.error?.message ?? "The answer broke." };
}

function measured(one: Exchange): NonNullable<Turn["measured"]> {
  const usage = { prompt_tokens: one.prompt_tokens ?? 0, completion_tokens: one.completion_tokens ?? 0 };
  return {
    ...(one.completion_tokens === null ? {} : { usage }),
    ...(one.first_token_ms === null ? {} : { firstMs: one.first_token_ms }),
    totalMs: one.total_ms,
  };
}

function said(input: unknown, role: string): string | null {
  if (!Array.isArray(input)) return null;
  const message = (input as Message[]).findLast((one) => one?.role === role);
  return message ? textOf(message.content) : null;
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part: { text?: string }) => part.text ?? "").join("");
}

function plain(conversation: string): string {
  return `log-${conversation}`;
}
