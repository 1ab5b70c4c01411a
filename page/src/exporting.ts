/** A conversation as a file: all its exchanges as JSON, or what was said as Markdown. */
import { type Listed, all, answerOf, question } from "./history.ts";

export async function exportAs(one: Listed, form: "md" | "json"): Promise<void> {
  const exchanges = (await all(one.id)).filter((exchange) => exchange.deleted_at === null);
  const title = one.title ?? "Conversation";
  const text =
    form === "json"
      ? JSON.stringify({ ...one, exchanges }, null, 2)
      : [`# ${title}`, ...exchanges.flatMap((exchange) => ["**You:**", question(exchange), "**Answer:**", answerOf(exchange)])].join("\n\n");
  save(`${name(title)}.${form}`, text, form === "json" ? "application/json" : "text/markdown");
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
