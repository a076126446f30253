// What is typed and chosen on the page. It lives as long as the page, and is kept nowhere else.

import { computed, type Signal, signal } from "@preact/signals-core";
import type { ModelList, ModelRecord, Request } from "./service.js";

export interface Draft {
  /** Tells drafts apart, for they come and go. */
  id: number;
  name: Signal<string>;
  text: Signal<string>;
}

export const SEGMENTS = ["sentence", "word", "token", "paragraph", "source"] as const;
export const TARGETS = ["sentence", "word", "token", "whole"] as const;
/** The service takes no larger limit. */
const MOST_CALLS = 2 ** 31 - 1;

/** A name with _ for what may not stand in a source's name: the rule, and the sign, of whence.providers.prompt. */
export function usableName(name: string): string {
  return name.replace(/["<>\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu, "_");
}

export type Form = ReturnType<typeof createForm>;

export function createForm() {
  let drafts = 0;
  const draft = (name = "", text = ""): Draft => ({ id: drafts++, name: signal(usableName(name)), text: signal(text) });
  const sources = signal<readonly Draft[]>([draft()]);
  const prompt = signal("");
  const output = signal("");
  const models = signal<ModelList | null>(null);
  const chosenModel = signal<string | null>(null);
  /** In the order of choosing: the first is the primary one. None: the server chooses. */
  const methods = signal<readonly string[]>([]);
  const segmentBy = signal<(typeof SEGMENTS)[number]>("sentence");
  const targetBy = signal<(typeof TARGETS)[number]>("sentence");
  const detail = signal(true);
  const attention = signal(false);
  const calls = signal("");

  const model = computed<ModelRecord | null>(() => {
    const name = chosenModel.value ?? models.value?.default_model ?? models.value?.models[0]?.name;
    return models.value?.models.find((own) => own.name === name) ?? null;
  });
  /** Attention is seen only where the weights are. */
  const showsAttention = computed(() => (model.value?.access ?? "weights") === "weights");
  const chosenMethods = computed(() => {
    const known = model.value?.methods;
    return methods.value.filter((name) => known?.includes(name) ?? true);
  });

  /** The most calls that are allowed: null for any number, undefined while what is typed is no limit. */
  const limit = computed(() => {
    const typed = calls.value.trim();
    if (typed === "") return null;
    return /^\d+$/.test(typed) && Number(typed) <= MOST_CALLS ? Number(typed) : undefined;
  });

  /** What the service is to be asked; null while something is missing, or is nothing to ask with. */
  const request = computed<Request | null>(() => {
    const given = sources.value
      .map(({ name, text }) => ({ text: text.value, name: name.value.trim() }))
      .filter(({ text }) => text.trim() !== "");
    if (model.value === null || prompt.value.trim() === "" || given.length === 0 || limit.value === undefined) return null;
    return {
      model: model.value.name,
      prompt: prompt.value,
      sources: given,
      output: output.value.trim() === "" ? null : output.value,
      method: chosenMethods.value.length > 0 ? [...chosenMethods.value] : "auto",
      segment_by: segmentBy.value,
      target_by: targetBy.value,
      detail: detail.value,
      attention: attention.value && showsAttention.value,
      budget: limit.value === null ? null : { calls: limit.value },
    };
  });

  return {
    ...{ sources, prompt, output, models, chosenModel, segmentBy, targetBy, detail, attention, calls },
    ...{ model, showsAttention, chosenMethods, limit, request },

    /** Put texts among the sources, in place of drafts that are still empty. */
    add(texts: readonly { name: string; text: string }[]): void {
      const begun = sources.value.filter(({ name, text }) => name.value !== "" || text.value !== "");
      sources.value = [...begun, ...texts.map(({ name, text }) => draft(name, text))];
    },

    addEmpty(): void {
      sources.value = [...sources.value, draft()];
    },

    remove(id: number): void {
      const others = sources.value.filter((own) => own.id !== id);
      sources.value = others.length > 0 ? others : [draft()];
    },

    toggleMethod(name: string): void {
      const others = chosenMethods.value.filter((own) => own !== name);
      methods.value = others.length < chosenMethods.value.length ? others : [...others, name];
    },

    /** Take what is now known of one model. */
    learn(record: ModelRecord): void {
      const known = models.value;
      if (known === null) return;
      models.value = { ...known, models: known.models.map((own) => (own.name === record.name ? record : own)) };
    },
  };
}
