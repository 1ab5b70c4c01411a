/** One answer as it comes: begun, joined again after the connection was lost, stopped. */
import { Refused, call, told } from "./api.ts";
import { type Said, read } from "./events.ts";
import { EventParser } from "./sse.ts";
import type { Measured, State } from "./thread.ts";

/** For so long an answer is looked for again; the gateway goes on with it for ten seconds without a client. */
const PATIENCE_MS = 15_000;
const PAUSES_MS = [200, 500, 1000, 2000];

export interface Order {
  path: string;
  body: string;
  /** The `Idempotency-Key`. */
  key: string;
}

export interface Answer {
  text: string;
  state: State;
  problem?: string;
  exchange?: string;
  conversation?: string;
  finish?: string;
  warnings?: string[];
  measured: Measured;
}

class Broke extends Error {}

export class Answering {
  readonly answer: Answer = { text: "", state: "open", measured: {} };
  readonly #order: Order;
  readonly #changed: (answer: Answer) => void;
  readonly #left = new AbortController();
  readonly #began = performance.now();
  /** Whether the gateway has this request already: then it must join, and not begin a second one. */
  #known: boolean;
  #lostAt = 0;

  constructor(order: Order, changed: (answer: Answer) => void, options: { known: boolean; text: string }) {
    this.#order = order;
    this.#changed = changed;
    this.#known = options.known;
    this.answer.text = options.text;
  }

  /** Resolves when the answer has ended, one way or the other; never rejects. */
  async run(): Promise<Answer> {
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          await this.#read();
          this.#end("done");
          break;
        } catch (error) {
          if (this.answer.state !== "open") break;
          await this.#again(error, attempt);
        }
      }
    } catch (error) {
      this.#end(this.answer.text ? "broken" : "failed", told(error));
    }
    return this.answer;
  }

  /** Stop it at the engine. What has come so far stays. */
  async stop(): Promise<void> {
    this.#end("stopped");
    await this.#giveUp();
  }

  async #giveUp(): Promise<void> {
    this.#left.abort();
    try {
      await call(this.#order.path, { method: "DELETE", headers: { "idempotency-key": this.#order.key }, keepalive: true });
    } catch (error) {
      if (!(error instanceof Refused || error instanceof TypeError)) throw error;
      // It had ended, or the gateway will find that nobody listens any more.
    }
  }

  async #read(): Promise<void> {
    const response = await call(this.#order.path, {
      method: "POST",
      body: this.#order.body,
      headers: { "idempotency-key": this.#order.key },
      signal: this.#left.signal,
    });
    const joined = response.headers.get("idempotent-replayed") === "true";
    if (this.#known && !joined) {
      await this.#giveUp(); // or a second answer would be written for nobody
      throw new Broke("The connection was lost for too long: this answer is not whole.");
    }
    const id = response.headers.get("x-request-id");
    if (id && !joined && !this.answer.exchange) this.answer.exchange = id;
    this.#known = true;
    this.#lostAt = 0;
    if (!response.body) throw new TypeError("an answer without a body");
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    const parser = new EventParser();
    let text = ""; // a joined answer comes from its start
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new TypeError("ended without its end mark");
      for (const data of parser.feed(decoder.decode(value, { stream: true }))) {
        const said = read(data);
        if (said.end) return;
        if (said.error) throw new Broke(said.error);
        text = said.whole ?? text + (said.text ?? "");
        this.#take(said, text);
      }
    }
  }

  #take(said: Said, text: string): void {
    const { answer } = this;
    if (said.text && answer.measured.firstMs === undefined) answer.measured.firstMs = performance.now() - this.#began;
    if (said.usage) answer.measured.usage = said.usage;
    for (const name of ["exchange", "conversation", "finish", "warnings"] as const) {
      if (said[name] !== undefined) Object.assign(answer, { [name]: said[name] });
    }
    const again = text.length < answer.text.length && answer.text.startsWith(text); // nothing shown is taken back
    if (!again) answer.text = text;
    answer.measured.totalMs = performance.now() - this.#began;
    this.#changed(answer);
  }

  /** Returns when it is time for another attempt; throws what ends the answer. */
  async #again(error: unknown, attempt: number): Promise<void> {
    const busy = error instanceof Refused && error.status === 409 && this.#known; // another gateway is at it
    if (!(error instanceof TypeError) && !busy) throw error;
    this.#lostAt ||= performance.now();
    if (performance.now() - this.#lostAt > PATIENCE_MS) {
      throw this.answer.text ? new Broke("The connection broke: this answer is not whole.") : error;
    }
    await online(PAUSES_MS[Math.min(attempt, PAUSES_MS.length - 1)] ?? 0);
  }

  #end(state: State, problem?: string): void {
    if (this.answer.state !== "open") return;
    this.answer.state = state;
    if (problem) this.answer.problem = problem;
  }
}

/** Waits, but not longer than until the browser is connected again. */
function online(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, navigator.onLine ? milliseconds : 5000);
    function done(): void {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    }
    addEventListener("online", done);
  });
}
