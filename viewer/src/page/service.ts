// The service, asked as any other client asks it. Addresses are relative, so a proxy may add a path before them.

import type { Explanation } from "../core/schema.js";
import { readEvents } from "./events.js";

export interface ModelRecord {
  name: string;
  provider: string;
  model: string;
  loaded: boolean;
  access: "weights" | "logprobs" | "text" | null;
  methods: string[] | null;
  context_tokens: number | null;
}

export interface ModelList {
  default_model: string | null;
  models: ModelRecord[];
}

export interface Plan {
  segments: number;
  prompt_tokens: number;
  counted: boolean;
  methods: {
    method: string;
    family: string;
    fallbacks: { method: string; reason: string }[];
    calls: number;
    cut: string | null;
  }[];
  calls: number;
  input_tokens: number;
  output_tokens: number;
  money: { amount: number; currency: string } | null;
}

export interface Step {
  stage: string;
  done: number;
  total: number | null;
}

export interface Request {
  model: string | null;
  prompt: string;
  sources: { text: string; name: string }[];
  output: string | null;
  method: string | string[];
  segment_by: string;
  target_by: string;
  detail: boolean;
  attention: boolean;
  budget: { calls: number } | null;
}

/** What a problem document (RFC 9457) says, or what stands in its place. */
export class Problem extends Error {
  constructor(
    readonly title: string,
    readonly detail: string,
    readonly status = 0,
    readonly errors: readonly { pointer?: string; detail: string }[] = [],
    /** `urn:uuid:...`: the line of the server's log. */
    readonly instance = "",
  ) {
    super(`${title} ${detail}`);
  }

  static from(document: unknown, status = 0): Problem {
    const told = document as Partial<Problem> | null;
    if (typeof told?.title !== "string" || typeof told.detail !== "string") {
      const detail = "The answer is not one of Whence: something may stand between it and this page.";
      return new Problem(status ? `The server answered ${status}.` : "The server answered nonsense.", detail, status);
    }
    const { title, detail, errors, instance } = told;
    return new Problem(title, detail, told.status ?? status, errors ?? [], instance ?? "");
  }
}

interface Asked {
  body?: Request;
  accept?: string;
  signal?: AbortSignal;
}

export type Service = ReturnType<typeof connect>;

/** The service behind this page. `key`: what is sent as its API key, at the time of asking; empty for none. */
export function connect(key: () => string) {
  async function ask(path: string, { body, accept, signal }: Asked = {}): Promise<Response> {
    const own = key().trim();
    if (!/^[!-~]*$/.test(own)) throw new Problem("This is no API key.", "A key has no blanks, and letters of ASCII only.");
    const headers: Record<string, string> = { Accept: accept ?? "application/json" };
    if (own !== "") headers["Authorization"] = `Bearer ${own}`;
    const options: RequestInit = { headers, signal: signal ?? null };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      options.method = "POST";
      options.body = JSON.stringify(body);
    }
    const response = await fetch(path, options).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw error instanceof TypeError ? unreachable() : error;
    });
    if (!response.ok) throw Problem.from(await response.json().catch(() => null), response.status);
    return response;
  }

  return {
    models: async (): Promise<ModelList> => (await ask("v1/models")).json(),

    /** What one model can; loads it, where that is not done yet. */
    model: async (name: string): Promise<ModelRecord> => (await ask(`v1/models/${encodeURIComponent(name)}`)).json(),

    plan: async (body: Request, signal: AbortSignal): Promise<Plan> => (await ask("v1/plans", { body, signal })).json(),

    /** An explanation, its progress told on the way. The end of `signal` ends the work. */
    async explain(body: Request, signal: AbortSignal, report: (step: Step) => void): Promise<Explanation> {
      const response = await ask("v1/explanations", { body, signal, accept: "text/event-stream" });
      try {
        for await (const { event, data } of readEvents(response.body ?? new ReadableStream())) {
          if (event === "progress") report(JSON.parse(data));
          else if (event === "problem") throw Problem.from(JSON.parse(data));
          else if (event === "explanation") return JSON.parse(data);
        }
      } catch (error) {
        signal.throwIfAborted();
        throw error instanceof TypeError ? cutOff() : error;
      }
      throw cutOff();
    },

    /** An explanation that is still kept, as it was answered. */
    kept: async (id: string, signal: AbortSignal): Promise<Explanation> => (await ask(`v1/explanations/${id}`, { signal })).json(),

    /** The weights of one head, as the viewer takes them. */
    async head(id: string, block: string, layer: number, head: number): Promise<string | null> {
      const response = await ask(`v1/explanations/${id}/attention/${block}/${layer}/${head}`);
      return (await response.json()).head.values;
    },

    /** The same with all that belongs to it, to be saved. */
    async file(id: string, kind: "json" | "html"): Promise<Blob> {
      const path = kind === "json" ? `${id}?attention=all` : `${id}.html?interactive=true`;
      return (await ask(`v1/explanations/${path}`, { accept: "*/*" })).blob();
    },
  };
}

function unreachable(): Problem {
  return new Problem("The server cannot be reached.", "It may not be running, or not be on this network. Try again.");
}

function cutOff(): Problem {
  return new Problem("The answer was cut off.", "The connection ended before the explanation was there. Run it again.");
}
