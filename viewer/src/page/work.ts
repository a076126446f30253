// What the page asks of the service: the models, the price of what is typed, and at last the explanation.

import { effect, signal } from "@preact/signals-core";
import type { Explanation } from "../core/schema.js";
import { addressed, stepTo } from "./address.js";
import { createForm } from "./form.js";
import { connect, type Plan, Problem, type Request, type Step } from "./service.js";

/** Of what is typed: not asked for yet, being asked for, known, or why it cannot be. */
export type Price = null | "asking" | Plan | Problem;

export type Work =
  | { stage: "typing" }
  | { stage: "running"; step: Step | null }
  | { stage: "failed"; problem: Problem }
  | { stage: "cancelled" }
  | { stage: "done"; id: string };

/** In place of the question, what the address names: being fetched, there, or why it is not. */
export type Shown = null | "fetching" | Explanation | Problem;

/** Typing rests that long before the price is asked for. */
const REST_MS = 400;

export type Page = ReturnType<typeof createPage>;

export function createPage() {
  const form = createForm();
  /** In memory only: it goes when the page goes. */
  const key = signal("");
  const service = connect(() => key.peek());
  const needsKey = signal(false);
  /** Why there are no models to choose from. */
  const fault = signal<Problem | null>(null);
  const price = signal<Price>(null);
  const work = signal<Work>({ stage: "typing" });
  let running: AbortController | null = null;
  const shown = signal<Shown>(null);
  /** The last explanation that was shown. */
  let remembered: Explanation | null = null;
  let abortFetching = () => {};

  function problemOf(error: unknown): Problem {
    const problem = asProblem(error);
    needsKey.value ||= problem.status === 401;
    return problem;
  }

  async function loadModels(): Promise<void> {
    try {
      form.models.value = await service.models();
      fault.value = null;
    } catch (error) {
      fault.value = problemOf(error);
    }
  }

  /** Show what the address names. */
  async function follow(): Promise<void> {
    abortFetching();
    const id = addressed();
    if (id === null || id === remembered?.id) {
      shown.value = id === null ? null : remembered;
      return;
    }
    const own = new AbortController();
    abortFetching = () => own.abort();
    shown.value = "fetching";
    const found = await service.kept(id, own.signal).catch(problemOf);
    if (own.signal.aborted) return;
    if (!(found instanceof Problem)) remembered = found;
    shown.value = found;
  }

  /** Take a step in the browser's history, and show what is there. */
  function go(id: string | null): void {
    stepTo(id);
    void follow();
  }

  async function chooseModel(name: string): Promise<void> {
    form.chosenModel.value = name;
    // What cannot be loaded is said by the plan, which needs it, too.
    if (form.model.value?.methods === null) form.learn(await service.model(name));
  }

  async function askPrice(request: Request, abort: AbortSignal): Promise<void> {
    price.value = "asking";
    const found = await service.plan(request, abort).catch(problemOf);
    if (abort.aborted) return;
    price.value = found;
    // To plan is to load: now it is known what the model can.
    if (!(found instanceof Problem) && form.model.value?.methods === null) await loadModels();
  }

  /** Ask for the price whenever what is typed has rested. The answer ends this. */
  function keepPrice(): () => void {
    // The request is a new object with each change of anything: only another text of it is another question.
    let before = "";
    let abortPrice = () => {};
    return effect(() => {
      const request = form.request.value;
      const own = `${key.value} ${JSON.stringify(request)}`;
      if (own === before) return;
      before = own;
      abortPrice();
      price.value = null;
      // What was said of the last run is not about what is typed now.
      if (["failed", "cancelled", "done"].includes(work.peek().stage)) work.value = { stage: "typing" };
      if (request === null) return;
      const abort = new AbortController();
      const timer = setTimeout(() => void askPrice(request, abort.signal), REST_MS);
      abortPrice = () => {
        clearTimeout(timer);
        abort.abort();
      };
    });
  }
  async function run(): Promise<void> {
    const request = form.request.value;
    if (request === null || running !== null) return;
    const own = new AbortController();
    running = own;
    work.value = { stage: "running", step: null };
    try {
      const explanation = await service.explain(request, own.signal, (step) => {
        work.value = { stage: "running", step };
      });
      // Who reads another explanation meanwhile goes on reading.
      const { id } = explanation;
      work.value = { stage: "done", id };
      if (shown.peek() !== null) return;
      remembered = explanation;
      go(id);
    } catch (error) {
      work.value = own.signal.aborted ? { stage: "cancelled" } : { stage: "failed", problem: problemOf(error) };
    } finally {
      running = null;
    }
  }

  return {
    ...{ form, service, key, needsKey, fault, price, work, shown, loadModels, follow, chooseModel, keepPrice, run },
    /** Begin, or go on with what the want of a key has stopped. */
    start: async (): Promise<void> => void (await Promise.all([loadModels(), follow()])),
    /** Leave the service: it stops within a call. */
    cancel: (): void => running?.abort(),
    /** To the question, with what was typed. */
    back: (): void => go(null),
  };
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem("This page made a mistake.", error instanceof Error ? error.message : String(error));
}
