/** The page as a whole. */
import { useSignal } from "@preact/signals";
import { lazy, Suspense } from "preact/compat";
import { key, keyWanted, useKey } from "./api.ts";
import { startNew } from "./chat.ts";
import { Conversation } from "./conversation.tsx";
import { discover } from "./endpoints.ts";
import { refreshHistory } from "./history.ts";
import { Dialog, IconButton } from "./parts.tsx";
import { Settings } from "./settings.tsx";
import { Sidebar } from "./sidebar.tsx";
import { engine } from "./stats.ts";
import { settingsOpen, sidebarOpen, view } from "./views.ts";

const Live = lazy(() => import("./live.tsx"));

export function App() {
  return (
    <div class={settingsOpen.value && view.value === "chat" ? "app with-settings" : "app"}>
      <Sidebar />
      {sidebarOpen.value && <div class="shade" onClick={() => (sidebarOpen.value = false)} />}
      <main>
        <Head />
        {view.value === "live" ? (
          <Suspense fallback={<p class="quiet column">Loading</p>}>
            <Live />
          </Suspense>
        ) : (
          <Conversation />
        )}
      </main>
      {settingsOpen.value && view.value === "chat" && <div class="shade" onClick={() => (settingsOpen.value = false)} />}
      {settingsOpen.value && view.value === "chat" && <Settings onClose={() => (settingsOpen.value = false)} />}
      {keyWanted.value && <AskForKey />}
    </div>
  );
}

function Head() {
  const { known, ready, model } = engine.value;
  const state = !known ? "Looking" : ready ? (model ?? "Ready") : "Not ready";
  return (
    <header class="head">
      <IconButton icon="menu" label="Conversations" class="narrow" expanded={sidebarOpen.value} onClick={() => (sidebarOpen.value = true)} />
      <h1 class={ready ? "model ready" : "model"}>
        <span class="dot" aria-hidden="true" />
        <span>{state}</span>
      </h1>
      <div class="tabs" role="group" aria-label="View">
        <button type="button" aria-pressed={view.value === "chat"} onClick={() => (view.value = "chat")}>
          Chat
        </button>
        <button type="button" aria-pressed={view.value === "live"} onClick={() => (view.value = "live")}>
          Live
        </button>
      </div>
      <IconButton icon="plus" label="New conversation" class="narrow" onClick={startNew} />
      {view.value === "chat" && (
        <IconButton icon="sliders" label="Settings" pressed={settingsOpen.value} onClick={() => (settingsOpen.value = !settingsOpen.value)} />
      )}
    </header>
  );
}

function AskForKey() {
  const given = useSignal("");
  return (
    <Dialog title="This server asks for a key" onClose={() => (keyWanted.value = false)}>
      {key.value && (
        <p class="problem" role="alert">
          The one that was given is unknown, has expired or was revoked.
        </p>
      )}
      <p>It is kept until this tab is closed, and sent to this server alone.</p>
      <form
        method="dialog"
        onSubmit={() => {
          useKey(given.value.trim());
          void discover();
          void refreshHistory();
        }}
      >
        <label class="field">
          <span>API key</span>
          <input type="password" autocomplete="off" value={given.value} onInput={(event) => (given.value = event.currentTarget.value)} />
        </label>
        <div class="row-end">
          <button type="submit" class="primary" disabled={!given.value.trim()}>
            Use it
          </button>
        </div>
      </form>
    </Dialog>
  );
}
