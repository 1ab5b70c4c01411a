/** Beside the conversation: to whom one talks, and how the answer is made. */
import { thread } from "./chat.ts";
import type { Field } from "./endpoints.ts";
import { endpoint, options, reset, setField, setSampling } from "./options.ts";
import { IconButton } from "./parts.tsx";
import { path } from "./thread.ts";

export function Settings({ onClose }: { onClose: () => void }) {
  const { sampling } = options.value;
  return (
    <aside class="settings" aria-label="Settings">
      <header>
        <h2>Settings</h2>
        <IconButton icon="close" label="Close settings" onClick={onClose} />
      </header>
      <p class="quiet">
        <code>{endpoint.value.path}</code>
      </p>
      {endpoint.value.fields.map((field) => (
        <OwnField key={field.name} field={field} />
      ))}
      <Bounded label="Max new tokens" value={sampling.maxNewTokens} min={1} max={4096} step={1} onChange={(maxNewTokens) => setSampling({ maxNewTokens })} />
      <label class="switch">
        <input type="checkbox" role="switch" checked={sampling.doSample} onChange={(event) => setSampling({ doSample: event.currentTarget.checked })} />
        <span>Sample</span>
      </label>
      <p class="quiet">{sampling.doSample ? "Each answer is drawn anew." : "Always the likeliest token: the same question has the same answer."}</p>
      <fieldset disabled={!sampling.doSample}>
        <legend class="hidden">Sampling</legend>
        <Bounded label="Temperature" value={sampling.temperature} min={0} max={2} step={0.05} onChange={(temperature) => setSampling({ temperature })} />
        <Bounded label="Top-k" hint="0 is all" value={sampling.topK} min={0} max={200} step={1} onChange={(topK) => setSampling({ topK })} />
        <Bounded label="Top-p" value={sampling.topP} min={0.05} max={1} step={0.05} onChange={(topP) => setSampling({ topP })} />
      </fieldset>
      <button type="button" class="plain" onClick={reset}>
        Back to the defaults
      </button>
      {path(thread.value).length > 0 && <p class="quiet">A change counts from the next question on.</p>}
    </aside>
  );
}

function OwnField({ field }: { field: Field }) {
  const label = field.name.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());
  const value = options.value.fields[field.name] ?? field.initial;
  if (field.type === "boolean") {
    return (
      <label class="switch">
        <input type="checkbox" role="switch" checked={value === true} onChange={(event) => setField(field.name, event.currentTarget.checked)} />
        <span title={field.description}>{label}</span>
      </label>
    );
  }
  if (field.type === "string") {
    const long = field.name.includes("message");
    const set = (text: string) => setField(field.name, text === "" ? null : text);
    return (
      <label class="field">
        <span>{label}</span>
        {long ? (
          <textarea
            rows={4}
            placeholder={field.description}
            value={String(options.value.fields[field.name] ?? "")}
            onInput={(event) => set(event.currentTarget.value)}
          />
        ) : (
          <input type="text" title={field.description} value={String(value ?? "")} onInput={(event) => set(event.currentTarget.value)} />
        )}
      </label>
    );
  }
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type="number"
        title={field.description}
        min={field.minimum}
        max={field.maximum}
        step={field.type === "integer" ? 1 : "any"}
        value={value === null ? "" : Number(value)}
        onChange={(event) => setField(field.name, event.currentTarget.value === "" ? null : event.currentTarget.valueAsNumber)}
      />
    </label>
  );
}

interface BoundedProps {
  label: string;
  hint?: string;
  value: number;
  min: number;
  max: number;
  step: number;
  onChange: (value: number) => void;
}

function Bounded({ label, hint, value, min, max, step, onChange }: BoundedProps) {
  function change(event: { currentTarget: HTMLInputElement }): void {
    const given = event.currentTarget.valueAsNumber;
    if (!Number.isFinite(given)) return;
    const whole = step === 1 ? Math.round(given) : given;
    onChange(Math.max(min, event.currentTarget.type === "range" ? Math.min(max, whole) : whole));
  }
  return (
    <div class="field bounded">
      <span>
        {label} {hint && <small>{hint}</small>}
      </span>
      <input type="number" aria-label={label} min={min} step={step} value={value} onChange={change} />
      <input type="range" aria-label={`${label}, as a slider`} min={min} max={max} step={step} value={value} onInput={change} />
    </div>
  );
}
