/** One chart over time. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { theme } from "./views.ts";

const HEIGHT = 132;
const STEPS = [15, 30, 60, 120]; // seconds between two times on the axis

export interface Series {
  name: string;
  colour: 1 | 2;
  values: (number | null)[];
}

interface ChartProps {
  label: string;
  minutes: number;
  at: number[];
  series: Series[];
  /** The scale ends here, or higher where the values are. */
  floor?: number;
  /** The scale always ends here. */
  ceiling?: number;
  dots?: boolean;
}

export function Chart({ label, minutes, at, series, floor = 1, ceiling, dots = false }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const span = useRef(minutes);
  span.current = minutes;

  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const made = new uPlot(options(element, series, span, floor, ceiling, dots), data(at, series), element);
    plot.current = made;
    const resize = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resize.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => made.redraw();
    dark.addEventListener("change", redraw);
    return () => {
      resize.disconnect();
      dark.removeEventListener("change", redraw);
      made.destroy();
    };
  }, [series.length, ceiling]);

  useEffect(() => plot.current?.setData(data(at, series)), [at.at(-1), minutes]);
  useEffect(() => plot.current?.redraw(), [theme.value]);

  return <div class="chart" ref={box} role="img" aria-label={label} data-samples={at.length} />;
}

function options(
  element: HTMLElement,
  series: Series[],
  span: { current: number },
  floor: number,
  ceiling: number | undefined,
  dots: boolean,
): uPlot.Options {
  const colour = (name: string) => () => getComputedStyle(element).getPropertyValue(name);
  const axis = { stroke: colour("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [6, 26, 0, 0], // the last time is as wide again
    scales: {
      x: { time: true, range: (_, __, max) => [(max || Date.now() / 1000) - span.current * 60, max || Date.now() / 1000] },
      y: { range: (_, __, max) => [0, ceiling ?? Math.max(floor, (max ?? 0) * 1.15)] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 24, space: 70, values: (_, ticks) => ticks.map(clock(ticks)), incrs: STEPS },
      { ...axis, grid: { stroke: colour("--line"), width: 1 }, size: 40, space: 32 },
    ],
    series: [
      {},
      ...series.map((one) => ({
        label: one.name,
        stroke: colour(`--chart-${one.colour}`),
        width: 1.6,
        spanGaps: false,
        points: { show: dots, size: 4 },
      })),
    ],
  };
}

function data(at: number[], series: Series[]): uPlot.AlignedData {
  return [at, ...series.map((one) => one.values)];
}

/** With seconds at each time, or at none. */
function clock(all: number[]): (seconds: number) => string {
  const withSeconds = all.every((seconds) => seconds % 60 === 0) ? {} : ({ second: "2-digit" } as const);
  return (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...withSeconds });
}
