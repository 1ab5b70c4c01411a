/** The body of the request that a turn stands for. */
import { CHAT, endpointAt } from "./endpoints.ts";
import { type Sampling, type Thread, type Turn, ancestors } from "./thread.ts";

export function bodyOf(thread: Thread, turn: Turn): Record<string, unknown> {
  return turn.endpoint === CHAT ? chatBody(thread, turn) : endpointBody(thread, turn);
}

/** A stateless request: all that was said, in the branch of this turn. */
function chatBody(thread: Thread, turn: Turn): Record<string, unknown> {
  const system = String(turn.fields["system_message"] ?? "");
  const answered = ancestors(thread, turn.parent).filter((one) => one.answer);
  const said = answered.flatMap((one) => [
    { role: "user", content: one.question },
    { role: "assistant", content: one.answer },
  ]);
  const { maxNewTokens, doSample, temperature, topK, topP } = turn.sampling;
  return {
    model: "zephyr-7b-beta",
    messages: [
      ...(system ? [{ role: "system", content: system }] : []),
      ...said,
      { role: "user", content: turn.question },
    ],
    max_tokens: maxNewTokens,
    ...(doSample ? { temperature, top_k: topK, ...(topP > 0 ? { top_p: topP } : {}) } : { temperature: 0 }),
    stream: true,
    stream_options: { include_usage: true },
  };
}

/** The gateway knows what was said up to the exchange that this one goes on from. */
function endpointBody(thread: Thread, turn: Turn): Record<string, unknown> {
  const before = ancestors(thread, turn.parent).findLast((one) => one.exchange);
  const fields = Object.entries(turn.fields).filter(([, value]) => value !== null && value !== "");
  return {
    ...Object.fromEntries(fields),
    [endpointAt(turn.endpoint).main]: turn.question,
    ...sampled(turn.sampling),
    ...(before ? { conversation: `chatcmpl-${before.exchange}` } : {}),
    stream: true,
  };
}

function sampled({ maxNewTokens, doSample, temperature, topK, topP }: Sampling): Record<string, unknown> {
  return { max_new_tokens: maxNewTokens, do_sample: doSample, temperature, top_k: topK, top_p: topP };
}
