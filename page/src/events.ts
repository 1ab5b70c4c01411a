/** What the events of a stream say, those of OpenAI's API and those of the `/zephyr` endpoints. */

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
}

export interface Said {
  text?: string;
  /** The exchange in the log. */
  exchange?: string;
  conversation?: string;
  finish?: string;
  usage?: Usage;
  warnings?: string[];
  /** The text as a whole, which takes the place of the pieces. */
  whole?: string;
  error?: string;
  end?: boolean;
}

interface Event {
  id?: string;
  choices?: { delta?: { content?: string | null }; finish_reason?: string | null }[];
  delta?: string;
  response?: string;
  conversation?: string;
  finish_reason?: string;
  warnings?: string[];
  usage?: Usage | null;
  error?: { message?: string };
}

/** Throws SyntaxError where the data is none that the API sends. */
export function read(data: string): Said {
  if (data.trim() === "[DONE]") return { end: true };
  const event = JSON.parse(data) as Event;
  if (event.error) return { error: event.error.message ?? "The answer broke." };
  const said: Said = {};
  if (event.id) said.exchange = plainId(event.id);
  if (event.conversation) said.conversation = event.conversation;
  if (event.usage) said.usage = event.usage;
  if (event.warnings) said.warnings = event.warnings;
  if (event.response !== undefined) said.whole = event.response;
  const choice = event.choices?.[0];
  const text = event.delta ?? choice?.delta?.content;
  if (text) said.text = text;
  const finish = event.finish_reason ?? choice?.finish_reason;
  if (finish) said.finish = finish;
  return said;
}

/** An exchange's id as the log writes it: `chatcmpl-` taken away, with the dashes of a UUID. */
export function plainId(id: string): string {
  const hex = id.replace(/^(chatcmpl|cmpl)-/, "").replaceAll("-", "");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
