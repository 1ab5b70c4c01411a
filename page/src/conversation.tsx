/** The conversation: its turns, kept at their end while they grow, and the place to write. */
import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { ask, notice, openTurn, thread, turns } from "./chat.ts";
import { Composer } from "./composer.tsx";
import { CHAT } from "./endpoints.ts";
import { endpoint } from "./options.ts";
import { engine } from "./stats.ts";
import { TurnView } from "./turn.tsx";
import { Waiting } from "./waiting.tsx";

const AT_ONCE = 40; // turns; older ones come as one scrolls up to them
const NEAR_END_PX = 80;

export function Conversation() {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const top = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const most = useSignal(AT_ONCE);
  const all = turns.value;
  const shown = all.slice(-most.value);

  useLayoutEffect(() => {
    most.value = AT_ONCE;
    following.current = true;
    toEnd(scroller.current);
  }, [thread.value.id]);

  useEffect(() => {
    const box = content.current;
    if (!box) return undefined;
    const growth = new ResizeObserver(() => {
      if (following.current) toEnd(scroller.current);
    });
    growth.observe(box);
    return () => growth.disconnect();
  }, [all.length > 0]);

  useEffect(() => {
    const mark = top.current;
    const box = scroller.current;
    if (!mark || !box) return undefined;
    const sight = new IntersectionObserver(([entry]) => {
      if (!entry?.isIntersecting || following.current) return;
      const below = box.scrollHeight - box.scrollTop;
      most.value += AT_ONCE;
      requestAnimationFrame(() => (box.scrollTop = box.scrollHeight - below));
    });
    sight.observe(mark);
    return () => sight.disconnect();
  }, [shown.length, all.length]);

  useLayoutEffect(() => {
    following.current = true; // whoever asks wants to see the answer
    toEnd(scroller.current);
  }, [openTurn.value?.id]);

  function scrolled(): void {
    const box = scroller.current;
    if (box) following.current = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX;
  }

  return (
    <section class="conversation" aria-label="Conversation">
      <div class="scroller" ref={scroller} onScroll={scrolled} tabIndex={0} role="log" aria-label="What was said" aria-busy={openTurn.value !== null}>
        {all.length === 0 ? (
          <Beginning />
        ) : (
          <div class="column" ref={content}>
            {shown.length < all.length && <div ref={top} class="earlier">Earlier turns</div>}
            {shown.map((turn) => (
              <TurnView key={turn.id} turn={turn} />
            ))}
          </div>
        )}
      </div>
      <div class="column foot">
        {notice.value && (
          <p class="problem" role="status">
            {notice.value}
          </p>
        )}
        <Waiting />
        <Composer />
      </div>
    </section>
  );
}

function Beginning() {
  const { description, example, main, path, title } = endpoint.value;
  const model = engine.value.model;
  return (
    <div class="column beginning">
      <h2>{path === CHAT ? "What would you like to know?" : title}</h2>
      <p>{description.replaceAll("`", "")}</p>
      {example && (
        <button type="button" class="example" onClick={() => ask(example)}>
          <span>For example</span>
          <code class={main === "code" ? "mono" : ""}>{example}</code>
        </button>
      )}
      {model && <p class="quiet">Answers come from {model}. A model makes mistakes: check what matters.</p>}
    </div>
  );
}

function toEnd(box: HTMLElement | null): void {
  if (box) box.scrollTop = box.scrollHeight;
}
