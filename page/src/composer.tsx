/** Where one writes. */
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { ask, openTurn, stop } from "./chat.ts";
import { endpoints } from "./endpoints.ts";
import { choose, endpoint } from "./options.ts";
import { IconButton } from "./parts.tsx";

export const draft = signal(sessionStorage.getItem("zephyr.draft") ?? "");

export function Composer() {
  const area = useRef<HTMLTextAreaElement>(null);
  const busy = openTurn.value !== null;
  useLayoutEffect(() => {
    const box = area.current;
    if (!box) return;
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight}px`;
    sessionStorage.setItem("zephyr.draft", draft.value);
  }, [draft.value]);
  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) area.current?.focus();
  }, []);

  function submit(): void {
    const text = draft.value.trim();
    if (busy || !text) return;
    draft.value = "";
    ask(text);
    area.current?.focus();
  }

  function pressed(event: KeyboardEvent): void {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
    if (event.key === "Escape" && busy) void stop();
  }

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        ref={area}
        rows={1}
        aria-label="Message"
        placeholder={endpoint.value.hint.replace(/\.$/, "")}
        value={draft.value}
        onInput={(event) => {
          draft.value = event.currentTarget.value;
        }}
        onKeyDown={pressed}
      />
      <div class="composer-row">
        <select class="endpoint" aria-label="Endpoint" value={endpoint.value.path} onChange={(event) => choose(event.currentTarget.value)}>
          {endpoints.value.map((one) => (
            <option key={one.path} value={one.path}>
              {one.title}
            </option>
          ))}
        </select>
        <span class="keys" aria-hidden="true">
          Enter sends, Shift+Enter breaks the line
        </span>
        {busy ? (
          <IconButton icon="stop" label="Stop" class="primary" onClick={() => void stop()} />
        ) : (
          <IconButton icon="send" label="Send" class="primary" disabled={!draft.value.trim()} onClick={submit} />
        )}
      </div>
    </form>
  );
}
