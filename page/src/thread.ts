/** A conversation with its branches: a tree of turns, of which one path is shown. */
import type { Usage } from "./events.ts";

export type State = "open" | "done" | "stopped" | "broken" | "failed";

/** One question and its answer: an exchange of the log, or what is to become one. */
export interface Turn {
  id: string;
  parent: string | null;
  endpoint: string;
  question: string;
  /** The fields of the endpoint beside the question; the system message among them. */
  fields: Record<string, string | number | boolean | null>;
  sampling: Sampling;
  /** The `Idempotency-Key`, by which an open answer is found again. */
  key: string;
  answer: string;
  state: State;
  problem?: string;
  finish?: string;
  warnings?: string[];
  exchange?: string;
  rating?: number;
  measured?: Measured;
}

export interface Sampling {
  maxNewTokens: number;
  doSample: boolean;
  temperature: number;
  topK: number;
  topP: number;
}

export interface Measured {
  usage?: Usage;
  firstMs?: number;
  totalMs?: number;
}

export interface Thread {
  id: string;
  /** The conversation in the log, once it is known. */
  conversation?: string;
  turns: Record<string, Turn>;
  /** Which child of a turn is shown; of the root, "" . */
  shown: Record<string, string>;
  touched: number;
}

export function emptyThread(): Thread {
  return { id: crypto.randomUUID(), turns: {}, shown: {}, touched: Date.now() };
}

/** The turns that go on from the same one, oldest first. */
export function siblings(thread: Thread, parent: string | null): Turn[] {
  return children(thread).get(parent) ?? [];
}

/** The shown path, from the first turn on. */
export function path(thread: Thread): Turn[] {
  const below = children(thread);
  const turns: Turn[] = [];
  let parent: string | null = null;
  for (;;) {
    const among: Turn[] = below.get(parent) ?? [];
    const wanted: string | undefined = thread.shown[parent ?? ""];
    const next: Turn | undefined = among.find((turn) => turn.id === wanted) ?? among.at(-1);
    if (!next) return turns;
    turns.push(next);
    parent = next.id;
  }
}

/** The turns from the first one to this one. */
export function ancestors(thread: Thread, id: string | null): Turn[] {
  const turns: Turn[] = [];
  for (let turn = id === null ? undefined : thread.turns[id]; turn; turn = turn.parent === null ? undefined : thread.turns[turn.parent]) {
    turns.unshift(turn);
  }
  return turns;
}

export function withTurn(thread: Thread, turn: Turn): Thread {
  const isNew = !(turn.id in thread.turns);
  const shown = isNew ? { ...thread.shown, [turn.parent ?? ""]: turn.id } : thread.shown;
  return { ...thread, turns: { ...thread.turns, [turn.id]: turn }, shown, touched: Date.now() };
}

export function showing(thread: Thread, turn: Turn): Thread {
  return { ...thread, shown: { ...thread.shown, [turn.parent ?? ""]: turn.id }, touched: Date.now() };
}

/** Turns of each parent, in the order in which they were begun. */
function children(thread: Thread): Map<string | null, Turn[]> {
  const below = new Map<string | null, Turn[]>();
  for (const turn of Object.values(thread.turns)) {
    const among = below.get(turn.parent);
    if (among) among.push(turn);
    else below.set(turn.parent, [turn]);
  }
  return below;
}
