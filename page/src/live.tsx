/** GPU and engine as charts over the last minutes. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { Chart, type Series } from "./chart.tsx";
import { type Gpu, type Sample, connected, latest, samples } from "./stats.ts";
import { Waiting } from "./waiting.tsx";

const SPANS = [1, 5, 10];
const GIB = 1024;
const UNKNOWN = "\u2013";

export default function Live() {
  const minutes = useSignal(5);
  const now = latest.value;
  const since = Date.now() / 1000 - minutes.value * 60;
  const shown = samples.value.filter((one) => one.at >= since);
  return (
    <div class="live" tabIndex={0} aria-label="Statistics" role="region">
      <div class="live-head">
        <h2>Live</h2>
        <div class="tabs" role="group" aria-label="Minutes">
          {SPANS.map((span) => (
            <button key={span} type="button" aria-pressed={minutes.value === span} onClick={() => (minutes.value = span)}>
              {span} min
            </button>
          ))}
        </div>
      </div>
      {!connected.value && <p class="quiet" role="status">Connecting</p>}
      <Waiting />
      {now && (
        <>
          <h3>Engine</h3>
          <div class="charts">
            <Card title="Requests" value={whole(now.engine.running)} unit="running" also={also(whole(now.engine.waiting), "waiting")} lines>
              <Chart label="Requests running and waiting" minutes={minutes.value} at={times(shown)} series={[line("running", 1, shown, (one) => one.engine.running), line("waiting", 2, shown, (one) => one.engine.waiting)]} floor={2} />
            </Card>
            <Card title="Tokens written" value={fixed(now.engine.generation_tokens_per_second, 1)} unit="tokens/s" also={also(fixed(now.engine.prompt_tokens_per_second, 1), "read")}>
              <Chart label="Tokens a second" minutes={minutes.value} at={times(shown)} series={[line("written", 1, shown, (one) => one.engine.generation_tokens_per_second)]} floor={10} />
            </Card>
            <Card title="Time to first token" value={milliseconds(lastFirst(shown))} unit="ms">
              <Chart label="Time to first token in milliseconds" minutes={minutes.value} at={times(shown)} series={[line("first token", 1, shown, (one) => times1000(one.engine.time_to_first_token_seconds))]} floor={10} dots />
            </Card>
            <Card title="KV cache" value={fixed(percent(now.engine.kv_cache_usage), 1)} unit="%">
              <Chart label="KV cache in use, percent" minutes={minutes.value} at={times(shown)} series={[line("in use", 1, shown, (one) => percent(one.engine.kv_cache_usage))]} ceiling={100} />
            </Card>
          </div>
          {now.gpu_problem && <p class="quiet gpu-problem">{now.gpu_problem}</p>}
          {now.gpus.map((gpu) => (
            <GpuCharts key={gpu.id} gpu={gpu} shown={shown} minutes={minutes.value} />
          ))}
        </>
      )}
    </div>
  );
}

function GpuCharts({ gpu, shown, minutes }: { gpu: Gpu; shown: Sample[]; minutes: number }) {
  const of = (sample: Sample) => sample.gpus.find((one) => one.id === gpu.id);
  const one = (name: string, value: (gpu: Gpu) => number | null): Series[] => [
    line(name, 1, shown, (sample) => {
      const then = of(sample);
      return then ? value(then) : null;
    }),
  ];
  const total = gpu.memoryTotal;
  return (
    <section aria-label={`GPU ${gpu.id}`}>
      <h3>
        GPU {gpu.id} <small>{gpu.name}</small>
      </h3>
      <div class="charts">
        <Card title="Load" value={fixed(gpu.load, 0)} unit="%" whose="This GPU">
          <Chart label="GPU load, percent" minutes={minutes} at={times(shown)} series={one("load", (then) => then.load)} ceiling={100} />
        </Card>
        <Card title="Memory" value={fixed(gibibytes(gpu.memoryUsed), 1)} unit="GiB" also={also(fixed(gibibytes(total), 0), "GiB", "of ")} whose="This GPU">
          <Chart label="GPU memory in use, GiB" minutes={minutes} at={times(shown)} series={one("used", (then) => gibibytes(then.memoryUsed))} ceiling={total === null ? 1 : total / GIB} />
        </Card>
        <Card title="Temperature" value={fixed(gpu.temperature, 0)} unit="°C" whose="This GPU">
          <Chart label="GPU temperature" minutes={minutes} at={times(shown)} series={one("temperature", (then) => then.temperature)} floor={100} />
        </Card>
        <Card title="Power" value={fixed(gpu.power, 0)} unit="W" whose="This GPU">
          <Chart label="GPU power in watts" minutes={minutes} at={times(shown)} series={one("power", (then) => then.power)} floor={100} />
        </Card>
      </div>
    </section>
  );
}

interface CardProps {
  title: string;
  value: string;
  unit: string;
  also?: string | undefined;
  /** Whether value and `also` are the chart's two lines, and wear their colours. */
  lines?: boolean;
  /** Who may not tell this at all; then the card says so in the chart's place. */
  whose?: string;
  children: ComponentChildren;
}

function Card({ title, value, unit, also, lines = false, whose, children }: CardProps) {
  const known = value !== UNKNOWN;
  return (
    <figure class={lines && known ? "card lines" : "card"}>
      <figcaption>
        <span>{title}</span>
        <strong>
          {value} <small>{known ? unit : ""}</small>
        </strong>
        {also && <small>{also}</small>}
      </figcaption>
      {whose && !known ? <p class="quiet untold">{whose} does not tell.</p> : children}
    </figure>
  );
}

function line(name: string, colour: 1 | 2, shown: Sample[], value: (one: Sample) => number | null): Series {
  return { name, colour, values: shown.map(value) };
}

/** The newest that is known: most seconds have none. */
function lastFirst(shown: Sample[]): number | null {
  return shown.findLast((one) => one.engine.time_to_first_token_seconds !== null)?.engine.time_to_first_token_seconds ?? null;
}

const times = (shown: Sample[]) => shown.map((one) => one.at);
const whole = (value: number | null) => (value === null ? UNKNOWN : String(value));
const fixed = (value: number | null, digits: number) => (value === null ? UNKNOWN : value.toFixed(digits));
/** A second figure with its words, where it is known. */
const also = (value: string, after: string, before = "") => (value === UNKNOWN ? undefined : `${before}${value} ${after}`);
const percent = (share: number | null) => (share === null ? null : share * 100);
const gibibytes = (mebibytes: number | null) => (mebibytes === null ? null : mebibytes / GIB);
const times1000 = (seconds: number | null) => (seconds === null ? null : seconds * 1000);
const milliseconds = (seconds: number | null) => fixed(times1000(seconds), 0);
