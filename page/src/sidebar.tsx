/** One's conversations, from the log: the list, the search, and what can be done with each. */
import { signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { told } from "./api.ts";
import { end, notice, open, startNew, thread, turns } from "./chat.ts";
import { hasMetrics } from "./endpoints.ts";
import { exportAs } from "./exporting.ts";
import { type Exchange, type Listed, answerOf, historyProblem, hits, listed, more, question, read, readOn, remove, rename, search } from "./history.ts";
import { goOnAs } from "./options.ts";
import { Dialog, Icon, IconButton, type IconName } from "./parts.tsx";
import type { Thread } from "./thread.ts";
import { type Theme, sidebarOpen, theme, view } from "./views.ts";

const words = signal("");
const THEMES: Record<Theme, { icon: IconName; next: Theme }> = {
  system: { icon: "half", next: "light" },
  light: { icon: "sun", next: "dark" },
  dark: { icon: "moon", next: "system" },
};
const TYPING_MS = 250;
const DAY = 86_400;

export function Sidebar() {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  return (
    <nav class={sidebarOpen.value ? "sidebar open" : "sidebar"} aria-label="Conversations">
      <header>
        <a class="brand" href="../">
          <img src="../static/zephyr.svg" width="26" height="26" alt="" />
          Zephyr
        </a>
        <IconButton icon="close" label="Close the list" class="narrow" onClick={() => (sidebarOpen.value = false)} />
      </header>
      <button
        type="button"
        class="new"
        onClick={() => {
          startNew();
          view.value = "chat";
          sidebarOpen.value = false;
        }}
      >
        <Icon name="plus" /> New conversation
      </button>
      <label class="search">
        <Icon name="search" />
        <input
          type="search"
          aria-label="Search what was said"
          placeholder="Search"
          value={words.value}
          onInput={(event) => {
            words.value = event.currentTarget.value;
            clearTimeout(timer.current);
            timer.current = setTimeout(() => void search(words.value), TYPING_MS);
          }}
        />
      </label>
      <div class="list">
        {historyProblem.value && <p class="quiet">{historyProblem.value}</p>}
        {hits.value ? <Hits found={hits.value} /> : <Conversations />}
      </div>
      <footer>
        <a href="../docs">
          <Icon name="book" /> API
        </a>
        {hasMetrics.value && (
          <a href="../metrics">
            <Icon name="pulse" /> Metrics
          </a>
        )}
        <IconButton icon={THEMES[theme.value].icon} label={`Colours: ${theme.value}`} onClick={() => (theme.value = THEMES[theme.value].next)} />
      </footer>
    </nav>
  );
}

function Hits({ found }: { found: Exchange[] }) {
  if (found.length === 0) return <p class="quiet">Nothing was said with these words.</p>;
  return (
    <ul aria-label="Found">
      {found.map((one) => (
        <li key={one.id}>
          <button type="button" class="hit" onClick={() => void openFrom(one.conversation_id, one.id)}>
            <span>{question(one).slice(0, 80)}</span>
            <small>{around(answerOf(one), words.value)}</small>
          </button>
        </li>
      ))}
    </ul>
  );
}

function Conversations() {
  const today = new Date().setHours(0, 0, 0, 0) / 1000;
  const groups: [string, Listed[]][] = [
    ["Today", listed.value.filter((one) => one.updated_at >= today)],
    ["This week", listed.value.filter((one) => one.updated_at < today && one.updated_at >= today - 6 * DAY)],
    ["Earlier", listed.value.filter((one) => one.updated_at < today - 6 * DAY)],
  ];
  if (listed.value.length === 0 && !historyProblem.value) return <p class="quiet">What you talk about will be here.</p>;
  return (
    <>
      {groups.map(([name, among]) =>
        among.length === 0 ? null : (
          <section key={name} aria-label={name}>
            <h2>{name}</h2>
            <ul>
              {among.map((one) => (
                <Row key={one.id} one={one} />
              ))}
            </ul>
          </section>
        ),
      )}
      {more.value && (
        <button type="button" class="plain" onClick={() => void readOn()}>
          More
        </button>
      )}
    </>
  );
}

function Row({ one }: { one: Listed }) {
  const doing = useSignal<"nothing" | "menu" | "renaming" | "deleting">("nothing");
  const current = thread.value.conversation === one.id.replace(/^conv_/, "") || thread.value.conversation === one.id;
  const title = one.title ?? "Without words";
  if (doing.value === "renaming") return <Renaming one={one} onDone={() => (doing.value = "nothing")} />;
  return (
    <li class={current ? "row current" : "row"}>
      <button type="button" class="open" aria-current={current ? "true" : undefined} onClick={() => void openFrom(one.id)}>
        {title}
      </button>
      <IconButton icon="more" label={`What to do with ${title}`} expanded={doing.value === "menu"} onClick={() => (doing.value = doing.value === "menu" ? "nothing" : "menu")} />
      {doing.value === "menu" && (
        <Menu
          onClose={() => (doing.value = "nothing")}
          entries={[
            ["Rename", () => (doing.value = "renaming")],
            ["Export as Markdown", () => void attempt(exportAs(one, "md"))],
            ["Export as JSON", () => void attempt(exportAs(one, "json"))],
            ["Delete", () => (doing.value = "deleting")],
          ]}
        />
      )}
      {doing.value === "deleting" && (
        <Dialog title="Delete this conversation?" onClose={() => (doing.value = "nothing")}>
          <p>What was said in it is deleted from the log and from this browser. It cannot be brought back.</p>
          <form method="dialog" class="row-end">
            <button type="submit">Keep it</button>
            <button type="submit" class="danger" onClick={() => void attempt(deleted(one, current))}>
              Delete
            </button>
          </form>
        </Dialog>
      )}
    </li>
  );
}

function Menu({ entries, onClose }: { entries: [string, () => void][]; onClose: () => void }) {
  const menu = useRef<HTMLDivElement>(null);
  useEffect(() => {
    menu.current?.querySelector("button")?.focus();
    const outside = (event: Event) => {
      if (!menu.current?.parentElement?.contains(event.target as Node)) onClose();
    };
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, []);
  function moved(event: KeyboardEvent): void {
    const buttons = [...(menu.current?.querySelectorAll("button") ?? [])];
    const place = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") onClose();
    if (step) {
      event.preventDefault();
      buttons.at((place + step) % buttons.length)?.focus();
    }
  }
  return (
    <div class="menu" role="menu" ref={menu} onKeyDown={moved}>
      {entries.map(([name, act]) => (
        <button
          key={name}
          type="button"
          role="menuitem"
          onClick={() => {
            onClose();
            act();
          }}
        >
          {name}
        </button>
      ))}
    </div>
  );
}

function Renaming({ one, onDone }: { one: Listed; onDone: () => void }) {
  const title = useSignal(one.title ?? "");
  function submit(): void {
    onDone();
    if (title.value.trim() !== one.title) void attempt(rename(one.id, title.value.trim() || null));
  }
  return (
    <li class="row renaming">
      <input
        aria-label="New title"
        maxLength={200}
        value={title.value}
        ref={(input) => input?.focus()}
        onInput={(event) => (title.value = event.currentTarget.value)}
        onBlur={submit}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.isComposing) submit();
          if (event.key === "Escape") onDone();
        }}
      />
    </li>
  );
}

async function openFrom(conversation: string, at?: string): Promise<void> {
  await attempt(read(conversation, at).then(goOn));
  view.value = "chat";
  sidebarOpen.value = false;
}

function goOn(found: Thread): void {
  open(found);
  const last = turns.value.at(-1);
  if (last) goOnAs(last);
}

async function deleted(one: Listed, current: boolean): Promise<void> {
  await end(one.id);
  await remove(one.id);
  if (current) startNew();
}

async function attempt(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    notice.value = told(error);
  }
}

function around(text: string, sought: string): string {
  const word = sought.replaceAll('"', "").split(/\s+/)[0]?.toLowerCase() ?? "";
  const place = Math.max(0, text.toLowerCase().indexOf(word) - 30);
  return (place > 0 ? "\u2026" : "") + text.slice(place, place + 90).replaceAll("\n", " ");
}
