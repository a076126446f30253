import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Explanation } from "../src/core/schema.js";
import type { Plan } from "../src/page/service.js";
import { createPage, type Page } from "../src/page/work.js";

/** Longer than typing must rest. */
const REST_MS = 500;

interface Asked {
  path: string;
  body: string;
  answer: (value: unknown) => Promise<void>;
}

/** What was asked, in order. None is answered by itself, and an answer comes even to one who has left. */
let asked: Asked[];
let page: Page;

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  vi.stubGlobal("fetch", (path: string, { body }: { body?: string }) => {
    let resolve: (response: unknown) => void = () => {};
    const promise = new Promise((done) => (resolve = done));
    const answer = async (value: unknown) => {
      resolve({ ok: true, json: async () => value });
      await vi.advanceTimersByTimeAsync(0);
    };
    asked.push({ path, body: body ?? "", answer });
    return promise;
  });
  const location = { hash: "", pathname: "/", search: "" };
  vi.stubGlobal("location", location);
  vi.stubGlobal("history", { pushState: (_state: null, _title: string, to: string) => (location.hash = to.startsWith("#") ? to : "") });
  page = createPage();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function plan(calls: number): Plan {
  return { segments: 1, prompt_tokens: 1, counted: true, methods: [], calls, input_tokens: 1, output_tokens: 1, money: null };
}

function type(task: string): void {
  page.form.prompt.value = task;
}

describe("the price", () => {
  beforeEach(() => {
    const model = { name: "a", provider: "a", model: "a", loaded: true, access: null, methods: ["lasso"], context_tokens: null };
    page.form.models.value = { default_model: "a", models: [model] };
    page.form.add([{ name: "note", text: "It is so." }]);
    page.keepPrice();
  });

  it("is asked for when typing rests, once", async () => {
    type("One");
    await vi.advanceTimersByTimeAsync(REST_MS / 2);
    type("One more");
    await vi.advanceTimersByTimeAsync(REST_MS / 2);
    expect(asked).toEqual([]);
    await vi.advanceTimersByTimeAsync(REST_MS);
    expect(asked.map(({ path, body }) => [path, JSON.parse(body).prompt])).toEqual([["v1/plans", "One more"]]);
    expect(page.price.value).toBe("asking");
    await asked[0]!.answer(plan(1));
    expect(page.price.value).toEqual(plan(1));
  });

  it("of an older text never takes the place of that of a newer one", async () => {
    for (const task of ["One", "Two"]) {
      type(task);
      await vi.advanceTimersByTimeAsync(REST_MS);
    }
    expect(asked.map(({ body }) => JSON.parse(body).prompt)).toEqual(["One", "Two"]);
    await asked[1]!.answer(plan(2));
    await asked[0]!.answer(plan(1));
    expect(page.price.value).toEqual(plan(2));
  });

  it("of an older text is not shown while that of a newer one is not there", async () => {
    type("One");
    await vi.advanceTimersByTimeAsync(REST_MS);
    type("Two");
    expect(page.price.value).toBeNull();
    await vi.advanceTimersByTimeAsync(REST_MS);
    await asked[0]!.answer(plan(1));
    expect(page.price.value).toBe("asking");
    type("");
    await asked[1]!.answer(plan(2));
    expect(page.price.value).toBeNull();
  });
});

describe("an explanation", () => {
  const kept = (id: string) => ({ id }) as Explanation;
  const address = async (hash: string) => {
    location.hash = hash;
    void page.follow();
    await vi.advanceTimersByTimeAsync(0);
  };

  it("is shown as the address names it", async () => {
    await address("#explanation=a");
    expect([asked[0]?.path, page.shown.value]).toEqual(["v1/explanations/a", "fetching"]);
    await asked[0]!.answer(kept("a"));
    expect(page.shown.value).toEqual(kept("a"));
  });

  it("is not shown once the address no longer names it", async () => {
    await address("#explanation=a");
    await address("");
    await asked[0]!.answer(kept("a"));
    expect(page.shown.value).toBeNull();
  });

  it("does not take the place of another that came before it", async () => {
    await address("#explanation=a");
    await address("#explanation=b");
    await asked[1]!.answer(kept("b"));
    await asked[0]!.answer(kept("a"));
    expect(page.shown.value).toEqual(kept("b"));
    await address("");
    await address("#explanation=b");
    expect(page.shown.value).toEqual(kept("b"));
    expect(asked).toHaveLength(2);
  });
});
