/** What is on the screen. */
import { effect, signal } from "@preact/signals";

export type View = "chat" | "live";
export type Theme = "system" | "light" | "dark";

export const view = signal<View>(location.hash === "#live" ? "live" : "chat");
export const sidebarOpen = signal(false);
export const settingsOpen = signal(localStorage.getItem("zephyr.settings") === "open");
export const theme = signal<Theme>((localStorage.getItem("zephyr.theme") as Theme | null) ?? "system");

addEventListener("hashchange", () => (view.value = location.hash === "#live" ? "live" : "chat"));
effect(() => {
  const hash = view.value === "live" ? "#live" : "#chat";
  if (location.hash !== hash && (view.value === "live" || location.hash)) location.hash = hash;
});
effect(() => localStorage.setItem("zephyr.settings", settingsOpen.value ? "open" : "closed"));
effect(() => {
  localStorage.setItem("zephyr.theme", theme.value);
  document.documentElement.dataset["theme"] = theme.value;
});
