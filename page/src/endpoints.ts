/** The endpoints that one can talk to, as the API describes them: a new one is there by itself. */
import { signal } from "@preact/signals";
import { get } from "./api.ts";

export const CHAT = "/v1/chat/completions";
const COMMON = new Set(["max_new_tokens", "do_sample", "temperature", "top_k", "top_p", "stream", "conversation"]);

export interface Field {
  name: string;
  type: "string" | "integer" | "number" | "boolean";
  description: string;
  initial: string | number | boolean | null;
  minimum?: number;
  maximum?: number;
}

export interface Endpoint {
  path: string;
  title: string;
  description: string;
  /** The field that holds what the user writes. */
  main: string;
  hint: string;
  /** What else the endpoint takes of its own; its system message among them. */
  fields: Field[];
  example: string | null;
}

interface Schema {
  type?: string;
  anyOf?: Schema[];
  description?: string;
  default?: string | number | boolean | null;
  minimum?: number;
  maximum?: number;
  properties?: Record<string, Schema>;
  required?: string[];
}

interface Operation {
  summary?: string;
  description?: string;
  requestBody?: { content?: Record<string, { schema?: Schema; example?: Record<string, unknown> }> };
}

export interface Description {
  paths: Record<string, { post?: Operation }>;
}

const CHAT_ENDPOINT: Endpoint = {
  path: CHAT,
  title: "Chat",
  description: "A conversation with the model, under a system message of yours.",
  main: "content",
  hint: "Ask something",
  fields: [
    { name: "system_message", type: "string", description: "Who the model is to be and how it is to answer.", initial: "" },
  ],
  example: "What is a list comprehension? Show me two examples.",
};

export const endpoints = signal<Endpoint[]>([CHAT_ENDPOINT]);
/** Whether this listener has `/metrics`: where keys are needed it has not. */
export const hasMetrics = signal(false);

export function endpointAt(path: string): Endpoint {
  return endpoints.value.find((one) => one.path === path) ?? { ...CHAT_ENDPOINT, path, title: path };
}

export async function discover(): Promise<void> {
  const description = await get<Description>("/openapi.json");
  endpoints.value = found(description);
  hasMetrics.value = "/metrics" in description.paths;
}

export function found(description: Description): Endpoint[] {
  const own = Object.entries(description.paths).flatMap(([path, { post }]) => {
    const endpoint = path.startsWith("/zephyr/") && post ? endpointOf(path, post) : null;
    return endpoint ? [endpoint] : [];
  });
  return CHAT in description.paths ? [CHAT_ENDPOINT, ...own] : own;
}

function endpointOf(path: string, operation: Operation): Endpoint | null {
  const content = operation.requestBody?.content?.["application/json"];
  const properties = content?.schema?.properties;
  if (!properties) return null;
  const names = Object.keys(properties).filter((name) => !COMMON.has(name));
  const texts = names.filter((name) => typeOf(properties[name]) === "string");
  const main = texts.find((name) => content?.schema?.required?.includes(name)) ?? texts[0];
  if (main === undefined) return null;
  const example = content?.example?.[main];
  return {
    path,
    title: operation.summary ?? path,
    description: operation.description ?? "",
    main,
    hint: properties[main]?.description ?? "Ask something",
    fields: names.filter((name) => name !== main).map((name) => field(name, properties[name] ?? {})),
    example: typeof example === "string" ? example : null,
  };
}

function field(name: string, schema: Schema): Field {
  const bounds = schema.anyOf?.find((one) => one.type !== "null") ?? schema;
  return {
    name,
    type: typeOf(schema),
    description: schema.description ?? "",
    initial: schema.default ?? null,
    ...(bounds.minimum === undefined ? {} : { minimum: bounds.minimum }),
    ...(bounds.maximum === undefined ? {} : { maximum: bounds.maximum }),
  };
}

function typeOf(schema: Schema | undefined): Field["type"] {
  const type = schema?.type ?? schema?.anyOf?.find((one) => one.type !== "null")?.type;
  return type === "integer" || type === "number" || type === "boolean" ? type : "string";
}
