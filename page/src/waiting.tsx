/** What is missing before an answer can be had, and since when. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { engine } from "./stats.ts";

export function Waiting() {
  const { known, ready, missing } = engine.value;
  const now = useSignal(Date.now());
  useEffect(() => {
    if (ready) return undefined;
    const timer = setInterval(() => (now.value = Date.now()), 1000);
    return () => clearInterval(timer);
  }, [ready]);
  if (!known || ready) return null;
  return (
    <ul class="waiting" role="status">
      {missing.map(({ name, problem, since }) => (
        <li key={name}>
          <span class="dot" />
          <span>{problem}</span>
          <span class="quiet">for {duration(now.value - since)}</span>
        </li>
      ))}
    </ul>
  );
}

export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${Math.floor(seconds / 3600)} h`;
}
