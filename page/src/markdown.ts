/** Markdown as blocks, and each block as HTML that can do nothing. */
import DOMPurify from "dompurify";
import { Marked, type Token, type Tokens } from "marked";

/** A block of a text: code, or anything else. `raw` is what it was made from. */
export type Block =
  | { kind: "code"; raw: string; code: string; language: string; closed: boolean }
  | { kind: "text"; raw: string };

// Text within HTML stays text: a model's `<b>` is shown as it was written.
const marked = new Marked({ gfm: true, breaks: true });
marked.use({
  renderer: {
    html: ({ text }) => escape(text),
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`, // nothing is fetched for a model
    table(token) {
      const row = (cells: Tokens.TableCell[], tag: string) =>
        `<tr>${cells.map((cell) => `<${tag}${cell.align ? ` align="${cell.align}"` : ""}>${this.parser.parseInline(cell.tokens)}</${tag}>`).join("")}</tr>`;
      const body = token.rows.map((cells) => row(cells, "td")).join("");
      return `<div class="table" tabindex="0"><table><thead>${row(token.header, "th")}</thead><tbody>${body}</tbody></table></div>`;
    },
  },
});

const ALLOWED = {
  ALLOWED_TAGS: [
    ..."p br hr a strong em del code pre ul ol li blockquote h1 h2 h3 h4 h5 h6 div table thead tbody tr th td span input".split(" "),
  ],
  ALLOWED_ATTR: ["href", "align", "start", "class", "type", "checked", "disabled", "tabindex", "rel", "target"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ADD_URI_SAFE_ATTR: ["align", "start", "type", "tabindex"], // their values are no addresses
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_TRUSTED_TYPE: true,
};

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A") {
    node.setAttribute("rel", "noopener noreferrer nofollow");
    node.setAttribute("target", "_blank");
  }
  if (node.tagName === "INPUT") node.setAttribute("disabled", ""); // the box of a list of tasks
  // The classes are ours and the highlighter's; a text cannot choose one of the page's.
  const own = /^(table|hljs(-\w+)*|[a-z]+_|\s)+$/;
  if (node.hasAttribute("class") && !own.test(node.getAttribute("class") ?? "")) node.removeAttribute("class");
});

/** HTML made harmless; the browser takes no other for these pages. */
export function harmless(html: string): TrustedHTML {
  return DOMPurify.sanitize(html, ALLOWED) as unknown as TrustedHTML;
}

export function html(raw: string): TrustedHTML {
  return harmless(marked.parse(raw, { async: false }));
}

/** Splits a text that grows into blocks, and looks again only at the end of it. */
export class Blocks {
  #settled: Block[] = [];
  #length = 0;
  #text = "";

  of(text: string): Block[] {
    if (!text.startsWith(this.#text)) [this.#settled, this.#length] = [[], 0];
    this.#text = text;
    const tokens = marked.lexer(text.slice(this.#length));
    const open = tokens.splice(-2); // what comes next may still change the last ones
    for (const token of tokens) this.#length += token.raw.length;
    this.#settled = [...this.#settled, ...blocks(tokens)];
    return [...this.#settled, ...blocks(open)];
  }
}

/** The blocks of a text that is whole. */
export function blocksOf(text: string): Block[] {
  return blocks(marked.lexer(text));
}

function blocks(tokens: Token[]): Block[] {
  return tokens.filter((token) => token.type !== "space" && token.type !== "def").map(block);
}

function block(token: Token): Block {
  if (token.type !== "code") return { kind: "text", raw: token.raw };
  const { text, lang, raw } = token as Tokens.Code;
  const fence = /^ {0,3}(`{3,}|~{3,})/.exec(raw)?.[1];
  const closed = fence === undefined || raw.trimEnd().endsWith(`\n${fence}`);
  return { kind: "code", raw, code: text, language: (lang ?? "").trim().split(/\s/)[0] ?? "", closed };
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
