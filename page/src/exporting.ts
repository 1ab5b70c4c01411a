/** A conversation as a file: all its exchanges as JSON, or what was said along its newest branch as Markdown. */
import { type Listed, all, read } from "./history.ts";
import { path } from "./thread.ts";

export async function exportAs(one: Listed, form: "md" | "json"): Promise<void> {
  const title = one.title ?? "Conversation";
  if (form === "json") save(`${name(title)}.json`, await json(one), "application/json");
  else save(`${name(title)}.md`, await markdown(one.id, title), "text/markdown");
}

async function json(one: Listed): Promise<string> {
  const exchanges = (await all(one.id)).filter((exchange) => exchange.deleted_at === null);
  return JSON.stringify({ ...one, exchanges }, null, 2);
}

async function markdown(conversation: string, title: string): Promise<string> {
  const turns = path(await read(conversation));
  return [`# ${title}`, ...turns.flatMap((turn) => ["**You:**", turn.question, "**Answer:**", turn.answer])].join("\n\n");
}

function save(file: string, text: string, type: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = Object.assign(document.createElement("a"), { href: url, download: file });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function name(title: string): string {
  return title.replaceAll(/[^\p{L}\p{N}]+/gu, "-").replaceAll(/^-|-$/g, "").slice(0, 60) || "conversation";
}
