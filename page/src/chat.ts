/** The conversation on the screen, and the answers that are being written, in this one and in others. */
import { type Signal, computed, effect, signal } from "@preact/signals";
import { type Answer, Answering } from "./answering.ts";
import { Refused, get, send, told } from "./api.ts";
import { options, samplingNow } from "./options.ts";
import { recall, remember } from "./memory.ts";
import { listed, refreshHistory } from "./history.ts";
import { bodyOf } from "./request.ts";
import { type Thread, type Turn, emptyThread, path, showing, withTurn } from "./thread.ts";

const CURRENT = "zephyr.thread";
const SAVE_EVERY_MS = 1000;
const RECORDED_AFTER_MS = [300, 1000];

export const thread = signal<Thread>(emptyThread());
export const turns = computed(() => path(thread.value));
/** Said once, beneath the conversation; null when there is nothing to say. */
export const notice = signal<string | null>(null);

interface Writing {
  answering: Answering;
  /** The thread, while another one may be on the screen. */
  thread: Thread;
  text: Signal<string>;
  /** Resolves when it is in the log, as far as this browser can know. */
  settled: Promise<void>;
}

const writing = signal<ReadonlyMap<string, Writing>>(new Map());
/** The turn of the shown conversation that is being answered. */
export const openTurn = computed(() => turns.value.find((turn) => writing.value.has(turn.id)) ?? null);
/** The answer's text as far as it came; null where it is not being written. */
export const textOf = (id: string): Signal<string> | null => writing.value.get(id)?.text ?? null;

export function ask(question: string, fields = options.value.fields): void {
  const last = turns.value.at(-1);
  begin({ question, fields, endpoint: options.value.endpoint, parent: last?.id ?? null });
}

/** A second answer to the same question, beside the first. */
export function regenerate(turn: Turn): void {
  begin({ question: turn.question, fields: turn.fields, endpoint: turn.endpoint, parent: turn.parent });
}

/** Another question in the place of this one, beside it. */
export function resend(turn: Turn, question: string): void {
  begin({ question, fields: turn.fields, endpoint: turn.endpoint, parent: turn.parent });
}

function begin(asked: Pick<Turn, "question" | "fields" | "endpoint" | "parent">): void {
  const turn: Turn = {
    ...asked,
    id: crypto.randomUUID(),
    key: crypto.randomUUID(),
    sampling: samplingNow(),
    answer: "",
    state: "open",
  };
  change(thread.value.id, (now) => withTurn(now, turn));
  save(thread.value);
  void write(turn, false);
}

export async function stop(): Promise<void> {
  if (openTurn.value) await writing.value.get(openTurn.value.id)?.answering.stop();
}

/** Stop what is being written in a conversation, and wait until that is in the log: then all of it can be deleted. */
export async function end(conversation: string): Promise<void> {
  const open = [...writing.value.values()].filter((one) => one.thread.conversation === conversation);
  await Promise.all(open.map(({ answering }) => answering.stop()));
  await Promise.all(open.map(({ settled }) => settled));
}

export function show(turn: Turn): void {
  change(thread.value.id, (now) => showing(now, turn));
  save(thread.value);
}

export function startNew(): void {
  open(emptyThread());
}

export function open(other: Thread): void {
  const held = [...writing.value.values()].find((one) => same(one.thread, other));
  thread.value = held?.thread ?? other;
  sessionStorage.setItem(CURRENT, thread.value.id);
  notice.value = null;
}

/** The log knows nothing yet of an answer that is being written: then what this browser has is shown. */
function same(one: Thread, other: Thread): boolean {
  return one.id === other.id || (one.conversation !== undefined && one.conversation === other.conversation);
}

/** What was on the screen before a reload; answers that were being written are gone on with. */
export async function restore(): Promise<void> {
  const id = sessionStorage.getItem(CURRENT);
  const found = id === null ? undefined : await recall(id);
  if (!found) return;
  open(found);
  for (const turn of Object.values(found.turns)) if (turn.state === "open") void write(turn, true);
}

export async function rate(turn: Turn, rating: -1 | 1): Promise<void> {
  if (!turn.exchange) return;
  const given = turn.rating === rating ? null : rating;
  try {
    await send("POST", `/log/exchanges/${turn.exchange}/feedback`, { rating: given });
    const { rating: _, ...rest } = turn;
    change(thread.value.id, (now) => withTurn(now, given === null ? rest : { ...rest, rating: given }));
    save(thread.value);
  } catch (error) {
    notice.value = told(error);
  }
}

async function write(turn: Turn, known: boolean): Promise<void> {
  const id = thread.value.id;
  const text = signal(turn.answer);
  let frame = 0;
  const order = { path: turn.endpoint, body: JSON.stringify(bodyOf(thread.value, turn)), key: turn.key };
  const answering = new Answering(
    order,
    (answer) => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        text.value = answer.text;
      });
    },
    { known, text: turn.answer },
  );
  let isSettled = () => {};
  const settled = new Promise<void>((resolve) => (isSettled = resolve));
  mark(turn.id, { answering, thread: thread.value, text, settled });
  const saving = setInterval(() => saveAnswer(id, turn, answering.answer), SAVE_EVERY_MS);
  const answer = await answering.run();
  clearInterval(saving);
  cancelAnimationFrame(frame); // hidden tabs run none: the end must not wait for one
  const ended = change(id, (now) => withTurn(now, answered(turn, answer)));
  mark(turn.id, null);
  if (ended) await settle(ended, answer);
  isSettled();
}

function answered(turn: Turn, answer: Answer): Turn {
  const { text, state, problem, exchange, finish, warnings, measured } = answer;
  const known = { problem, exchange, finish, warnings };
  const there = Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
  return { ...turn, ...there, answer: text, state, measured };
}

/** Learn which conversation of the log this is, and keep it all. */
async function settle(ended: Thread, answer: Answer): Promise<void> {
  let now = ended;
  save(now); // at once: whoever reloads now finds the whole answer
  const conversation = answer.conversation ?? (await conversationOf(answer));
  if (conversation && now.conversation !== conversation) {
    now = change(ended.id, (one) => ({ ...one, conversation })) ?? { ...now, conversation };
  }
  save(now);
  await refreshHistory();
}

async function conversationOf(answer: Answer): Promise<string | undefined> {
  if (!answer.exchange || answer.state === "failed") return undefined;
  for (const pause of [0, ...RECORDED_AFTER_MS]) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    try {
      return (await get<{ conversation_id: string }>(`/log/exchanges/${answer.exchange}`)).conversation_id;
    } catch (error) {
      // What was stopped is recorded a moment later. Where the log cannot be read the conversation stays this browser's.
      if (!(error instanceof Refused && error.status === 404)) return undefined;
    }
  }
  return undefined;
}

/** Change a thread, wherever it is: on the screen, behind it, or both. */
function change(id: string, how: (now: Thread) => Thread): Thread | null {
  const held = [...writing.value.entries()].filter(([, one]) => one.thread.id === id);
  const now = thread.value.id === id ? thread.value : held[0]?.[1].thread;
  if (!now) return null;
  const changed = how(now);
  for (const [, one] of held) one.thread = changed;
  if (thread.value.id === id) thread.value = changed;
  return changed;
}

function mark(turn: string, one: Writing | null): void {
  const all = new Map(writing.value);
  if (one) all.set(turn, one);
  else all.delete(turn);
  writing.value = all;
}

function saveAnswer(id: string, turn: Turn, answer: Answer): void {
  const now = thread.value.id === id ? thread.value : writing.value.get(turn.id)?.thread;
  if (now) save({ ...now, turns: { ...now.turns, [turn.id]: { ...turn, answer: answer.text } } });
}

function save(now: Thread): void {
  if (now.id === thread.value.id) sessionStorage.setItem(CURRENT, now.id);
  remember(now).catch((error: unknown) => {
    notice.value = `This browser keeps nothing over a reload: ${told(error)}`;
  });
}

effect(() => {
  const named = listed.value.find((one) => one.id === thread.value.conversation);
  document.title = named?.title ?? turns.value[0]?.question.slice(0, 60) ?? "Zephyr";
});
