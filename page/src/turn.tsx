/** A question and its answer, with what can be done with them. */
import { useSignal } from "@preact/signals";
import { memo } from "preact/compat";
import { openTurn, rate, regenerate, resend, show, textOf, thread } from "./chat.ts";
import { CHAT, endpointAt } from "./endpoints.ts";
import { CopyButton, IconButton } from "./parts.tsx";
import { Prose } from "./prose.tsx";
import { type Measured, type Turn, siblings } from "./thread.ts";

const PATH_SHOWN = /^\/zephyr\//;
/** What comes within less has come at once, and has no speed. */
const SHORTEST_WRITING_MS = 50;

export const TurnView = memo(({ turn }: { turn: Turn }) => {
  const editing = useSignal(false);
  return (
    <article class="turn" data-turn={turn.id}>
      {editing.value ? (
        <Editor turn={turn} onDone={() => (editing.value = false)} />
      ) : (
        <Question turn={turn} onEdit={() => (editing.value = true)} />
      )}
      <AnswerView turn={turn} />
    </article>
  );
});

function Question({ turn, onEdit }: { turn: Turn; onEdit: () => void }) {
  const code = endpointAt(turn.endpoint).main === "code";
  return (
    <div class="question">
      <h2 class="hidden">You</h2>
      <div class={code ? "said mono" : "said"}>{turn.question}</div>
      <div class="tools">
        {turn.endpoint !== CHAT && <span class="route">{turn.endpoint.replace(PATH_SHOWN, "")}</span>}
        <CopyButton text={turn.question} label="Copy question" />
        <IconButton icon="edit" label="Edit and send again" disabled={openTurn.value !== null} onClick={onEdit} />
      </div>
    </div>
  );
}

function Editor({ turn, onDone }: { turn: Turn; onDone: () => void }) {
  const text = useSignal(turn.question);
  function submit(): void {
    if (!text.value.trim()) return;
    resend(turn, text.value.trim());
    onDone();
  }
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        aria-label="Edit the question"
        rows={Math.min(12, turn.question.split("\n").length + 1)}
        value={text.value}
        ref={(area) => area?.focus()}
        onInput={(event) => {
          text.value = event.currentTarget.value;
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") onDone();
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            submit();
          }
        }}
      />
      <div class="row">
        <button type="button" onClick={onDone}>
          Cancel
        </button>
        <button type="submit" class="primary">
          Send
        </button>
      </div>
    </form>
  );
}

function AnswerView({ turn }: { turn: Turn }) {
  const growing = textOf(turn.id);
  const open = turn.state === "open";
  const text = growing ? growing.value : turn.answer;
  return (
    <div class={`answer ${turn.state}`}>
      <h2 class="hidden">Answer</h2>
      {text && <Prose text={text} open={open} />}
      {open && !text && (
        <p class="thinking">
          <span class="hidden">The answer is being written</span>
          <i />
          <i />
          <i />
        </p>
      )}
      {turn.warnings?.map((warning) => (
        <p key={warning} class="remark">
          {warning}
        </p>
      ))}
      {turn.problem && (
        <p class="problem" role="alert">
          {turn.problem}
        </p>
      )}
      {!open && <Foot turn={turn} />}
    </div>
  );
}

function Foot({ turn }: { turn: Turn }) {
  const busy = openTurn.value !== null;
  return (
    <div class="tools">
      <Branches turn={turn} />
      {turn.answer && <CopyButton text={turn.answer} label="Copy answer" />}
      <IconButton icon="again" label="Another answer" disabled={busy} onClick={() => regenerate(turn)} />
      {turn.exchange && turn.answer && (
        <>
          <IconButton icon="up" label="Good answer" pressed={turn.rating === 1} onClick={() => void rate(turn, 1)} />
          <IconButton icon="down" label="Bad answer" pressed={turn.rating === -1} onClick={() => void rate(turn, -1)} />
        </>
      )}
      <span class="measured">{facts(turn).join(" \u00b7 ")}</span>
    </div>
  );
}

function Branches({ turn }: { turn: Turn }) {
  const among = siblings(thread.value, turn.parent);
  const place = among.findIndex((one) => one.id === turn.id);
  if (among.length < 2) return null;
  const to = (step: number) => {
    const other = among[place + step];
    if (other) show(other);
  };
  return (
    <span class="branches" role="group" aria-label="Branches">
      <IconButton icon="left" label="Branch before" disabled={place === 0} onClick={() => to(-1)} />
      <span>
        {place + 1}/{among.length}
      </span>
      <IconButton icon="right" label="Next branch" disabled={place === among.length - 1} onClick={() => to(1)} />
    </span>
  );
}

function facts(turn: Turn): string[] {
  const told = numbers(turn.measured ?? {});
  if (turn.state === "stopped") told.unshift("stopped");
  if (turn.finish === "length") told.unshift("cut off at the limit of new tokens");
  return told;
}

function numbers({ usage, firstMs, totalMs }: Measured): string[] {
  const told: string[] = [];
  const tokens = usage?.completion_tokens;
  if (tokens) told.push(`${tokens} tokens`);
  if (firstMs !== undefined) told.push(`first after ${seconds(firstMs)}`);
  const writingMs = (totalMs ?? 0) - (firstMs ?? 0);
  if (tokens && tokens > 1 && firstMs !== undefined && writingMs >= SHORTEST_WRITING_MS) {
    const speed = ((tokens - 1) / writingMs) * 1000;
    told.push(`${speed.toFixed(speed < 100 ? 1 : 0)} tokens/s`);
  }
  return told;
}

function seconds(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
