// The state in the address, after its #: what is damaged there is ignored. What was searched for stays out, for
// it may be a patient's name, and addresses are kept in histories.

import { batch, effect, type Signal } from "@preact/signals";
import type { Loaded } from "../core/model.js";
import { type Choice, PICTURES, SCALES, type State, VIEWS } from "./state.js";

interface Field {
  readonly name: string;
  /** The value as text; null for the usual one, which is not written. */
  written(): string | null;
  /** Take the value that a text stands for; the usual one for null and for nonsense. */
  take(text: string | null): void;
}

/** Fields whose change is a step that the browser's "back" undoes. */
const STEPS = new Set(["view", "result", "chosen"]);

/** Keep the state in the address, and follow it. The answer ends this. */
export function keepAddress(state: State, loaded: Loaded): () => void {
  const all = fields(state, loaded);
  const go = (hash: string, step: boolean) => {
    if (hash === location.hash.slice(1)) return;
    const address = hash === "" ? location.pathname + location.search : `#${hash}`;
    if (step) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  };
  const written = () =>
    all.flatMap((field): [string, string][] => {
      const text = field.written();
      return text === null ? [] : [[field.name, text]];
    });
  let restoring = false;
  const restore = () => {
    restoring = true;
    const told = new URLSearchParams(location.hash.slice(1));
    batch(() => all.forEach((field) => field.take(told.get(field.name))));
    restoring = false;
    go(new URLSearchParams(written()).toString(), false);
  };
  restore();
  let before: string | null = null;
  const stop = effect(() => {
    const now = written();
    const step = JSON.stringify(now.filter(([name]) => STEPS.has(name)));
    go(new URLSearchParams(now).toString(), !restoring && before !== null && step !== before);
    before = step;
  });
  addEventListener("popstate", restore);
  return () => {
    stop();
    removeEventListener("popstate", restore);
  };
}

function fields(state: State, loaded: Loaded): Field[] {
  const field = <T>(
    name: string,
    of: Signal<T>,
    write: (value: T) => string,
    read: (text: string) => T | undefined,
  ): Field => {
    const usual = of.peek();
    return {
      name,
      written: () => (write(of.value) === write(usual) ? null : write(of.value)),
      take: (text) => {
        const value = (text === null ? undefined : read(text)) ?? usual;
        if (write(of.peek()) !== write(value)) of.value = value;
      },
    };
  };
  const oneOf = <T extends string>(name: string, of: Signal<T>, values: readonly T[]) =>
    field(name, of, String, (text) => values.find((value) => value === text));
  const yesOrNo = (name: string, of: Signal<boolean>) =>
    field(name, of, (value) => (value ? "yes" : "no"), (text) => ({ yes: true, no: false })[text]);
  const below = (count: number) => (text: string) => (/^\d{1,7}$/.test(text) && +text < count ? +text : undefined);
  const indices = (name: string, of: Signal<readonly number[]>) =>
    field(name, of, (value) => value.join("."), (text) => {
      const found = text.split(".").map(below(10_000));
      return found.every((index) => index !== undefined) ? found : undefined;
    });
  return [
    oneOf("view", state.view, VIEWS),
    field("result", state.result, String, below(loaded.results.length)),
    field("chosen", state.choice, writeChoice, (text) => readChoice(text, loaded)),
    oneOf("scale", state.scale, SCALES),
    yesOrNo("mask-sink", state.maskSink),
    yesOrNo("mask-special", state.maskSpecial),
    yesOrNo("renormalised", state.renormalised),
    yesOrNo("words", state.merged),
    oneOf("picture", state.picture, PICTURES),
    field("block", state.block, String, below(loaded.explanation.attention?.length ?? 0)),
    indices("layers", state.layers),
    indices("heads", state.heads),
  ];
}

function writeChoice(choice: Choice): string {
  if (choice === null) return "";
  return choice.kind === "stretch" ? `${choice.start}-${choice.end}` : `${choice.kind}-${choice.index}`;
}

function readChoice(text: string, loaded: Loaded): Choice | undefined {
  const [, kind = "", first = "", end] = /^(?:(target|segment)-)?(\d{1,7})(?:-(\d{1,7}))?$/.exec(text) ?? [];
  const index = +first;
  if (first === "" || (kind === "") === (end === undefined)) return undefined;
  if (kind === "target") return index < loaded.targets.length ? { kind, index } : undefined;
  if (kind === "segment") return index < loaded.segments.length ? { kind, index } : undefined;
  const stretch = { kind: "stretch", start: index, end: Number(end) } as const;
  return stretch.start < stretch.end && stretch.end <= loaded.output.length ? stretch : undefined;
}
