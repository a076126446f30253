// The state in the address, after its #: what is damaged there is ignored. What was searched for stays out, for
// it may be a patient's name, and addresses are kept in histories.

import type { Loaded } from "../core/model.js";
import { SCALES } from "../core/scale.js";
import { batch, effect, type Signal } from "@preact/signals-core";
import { type Choice, PICTURES, type State, VIEWS } from "./state.js";

interface Field {
  readonly name: string;
  /** The value as text; null for the usual one, which is not written. */
  written(): string | null;
  /** Take the value that a text stands for; the usual one for null and for nonsense. */
  take(text: string | null): void;
}

/** Fields whose change is a step that the browser's "back" undoes. */
const STEPS = ["view", "result", "chosen"];

/** Keep the state in the address, and follow it. The answer ends this. */
export function keepAddress(state: State, loaded: Loaded): () => void {
  const all = fields(state, loaded);
  const write = (step: boolean) => {
    const now = all.flatMap((field): [string, string][] => {
      const text = field.written();
      return text === null ? [] : [[field.name, text]];
    });
    const hash = new URLSearchParams(now).toString();
    if (hash !== location.hash.slice(1)) {
      history[step ? "pushState" : "replaceState"](null, "", hash === "" ? location.pathname + location.search : `#${hash}`);
    }
  };
  const steps = () => String(all.flatMap((field) => (STEPS.includes(field.name) ? [field.written()] : [])));
  let before: string | null = null;
  const restore = () => {
    const told = new URLSearchParams(location.hash.slice(1));
    before = null;
    batch(() => all.forEach((field) => field.take(told.get(field.name))));
    write(false);
    before = steps();
  };
  restore();
  const stop = effect(() => {
    const now = steps();
    write(before !== null && now !== before);
    before = now;
  });
  addEventListener("popstate", restore);
  return () => {
    stop();
    removeEventListener("popstate", restore);
  };
}

function fields(state: State, loaded: Loaded): Field[] {
  const field = <T>(name: string, of: Signal<T>, read: (text: string) => T | undefined): Field => {
    const usual = of.peek();
    return {
      name,
      written: () => (textOf(of.value) === textOf(usual) ? null : textOf(of.value)),
      take(text) {
        const value = (text === null ? undefined : read(text)) ?? usual;
        if (textOf(of.peek()) !== textOf(value)) of.value = value;
      },
    };
  };
  const among = <T>(values: readonly T[]) => (text: string) => values.find((value) => textOf(value) === text);
  const below = (count: number) => (text: string) => (/^\d{1,7}$/.test(text) && +text < count ? +text : undefined);
  const indices = (text: string) => {
    const found = text === "all" ? [] : text.split(".").map(below(10_000));
    return found.every((index) => index !== undefined) ? found : undefined;
  };
  const yesOrNo = among([true, false]);
  return [
    field("view", state.view, among(VIEWS)),
    field("result", state.result, below(loaded.results.length)),
    field("chosen", state.choice, (text) => readChoice(text, loaded)),
    field("scale", state.scale, among(SCALES)),
    field("mask-sink", state.maskSink, yesOrNo),
    field("mask-special", state.maskSpecial, yesOrNo),
    field("renormalised", state.renormalised, yesOrNo),
    field("words", state.merged, yesOrNo),
    field("picture", state.picture, among(PICTURES)),
    field("block", state.block, below(loaded.explanation.attention?.length ?? 0)),
    field("layers", state.layers, indices),
    field("heads", state.heads, indices),
  ];
}

/** Any value of the state as text. */
function textOf(value: unknown): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.join(".") || "all";
  if (typeof value !== "object" || value === null) return String(value);
  const { kind, index, start, end } = value as { kind: string; index?: number; start?: number; end?: number };
  return kind === "stretch" ? `${start}-${end}` : `${kind}-${index}`;
}

function readChoice(text: string, { targets, segments, output }: Loaded): Choice | undefined {
  const [, kind, first, end] = /^(?:(target|segment)-|(?=\d+-))(\d{1,7})(?:-(\d{1,7}))?$/.exec(text) ?? [];
  const index = Number(first);
  if ((kind === "target" || kind === "segment") && end === undefined) {
    return index < (kind === "target" ? targets : segments).length ? { kind, index } : undefined;
  }
  const stretch = { kind: "stretch", start: index, end: Number(end) } as const;
  return kind === undefined && index < stretch.end && stretch.end <= output.length ? stretch : undefined;
}
