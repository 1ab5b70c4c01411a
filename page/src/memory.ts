/** What this browser remembers of conversations, over a reload: the newest ones, in IndexedDB. */
import type { Thread } from "./thread.ts";

const NAME = "zephyr";
const STORE = "threads";
const MOST_THREADS = 20;
const MOST_CHARACTERS = 8_000_000; // of one thread; a longer one is in the log alone

let opened: Promise<IDBDatabase> | null = null;

function database(): Promise<IDBDatabase> {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(STORE, { keyPath: "id" }).createIndex("touched", "touched");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB cannot be opened"));
  });
  return opened;
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB failed"));
  });
}

async function store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  return (await database()).transaction(STORE, mode).objectStore(STORE);
}

export async function remember(thread: Thread): Promise<void> {
  if (sizeOf(thread) > MOST_CHARACTERS) return forget(thread.id);
  await result((await store("readwrite")).put(thread));
  const keys = await result((await store("readonly")).index("touched").getAllKeys());
  for (const id of keys.slice(0, -MOST_THREADS)) await result((await store("readwrite")).delete(id));
}

export async function recall(id: string): Promise<Thread | undefined> {
  return (await result((await store("readonly")).get(id))) as Thread | undefined;
}

export async function forget(id: string): Promise<void> {
  await result((await store("readwrite")).delete(id));
}

export async function forgetConversation(conversation: string): Promise<void> {
  const threads = (await result((await store("readonly")).getAll())) as Thread[];
  for (const thread of threads) if (thread.conversation === conversation) await forget(thread.id);
}

function sizeOf(thread: Thread): number {
  return Object.values(thread.turns).reduce((sum, turn) => sum + turn.question.length + turn.answer.length, 0);
}
