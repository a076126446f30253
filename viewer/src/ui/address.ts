// The state in the address, after its #: what is damaged there is ignored. What was searched for stays out, for
// it may be a patient's name, and addresses are kept in histories.

import { batch, effect, type Signal } from "@preact/signals-core";
import type { Loaded } from "../core/model.js";
import { SCALES } from "../core/scale.js";
import { type Choice, PICTURES, type State, VIEWS } from "./state.js";

/** Fields whose change is a step that the browser's "back" undoes. */
const STEPS = ["view", "result", "chosen"];

/** What stands first in the address and is the host's, such as which explanation this is. */
export type Prefix = readonly [name: string, value: string][];

/** Keep the state in the address, and follow it, as long as the prefix is there. The answer ends this. */
export function keepAddress(state: State, loaded: Loaded, prefix: Prefix): () => void {
  const all = fields(state, loaded);
  const told = () => new URLSearchParams(location.hash.slice(1));
  const here = () => prefix.every(([name, value]) => told().get(name) === value);
  /** The fields that have not their usual value. */
  const written = () => all.flatMap(({ name, of, usual }): Prefix => (textOf(of.value) === usual ? [] : [[name, textOf(of.value)]]));
  const write = (step: boolean) => {
    const hash = new URLSearchParams([...prefix, ...written()]).toString();
    if (here() && hash !== location.hash.slice(1)) {
      history[step ? "pushState" : "replaceState"](null, "", hash === "" ? location.pathname + location.search : `#${hash}`);
    }
  };
  const steps = () => String(written().filter(([name]) => STEPS.includes(name)));
  let before: string | null = null;
  const restore = () => {
    if (!here()) return;
    before = null;
    batch(() => all.forEach(({ name, take }) => take(told().get(name))));
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

function fields(state: State, { results, targets, segments, output, explanation }: Loaded) {
  /** A signal, and how its value is read from a text; the usual value stands for nonsense, and is not written. */
  const field = <T>(name: string, of: Signal<T>, read: (text: string) => T | undefined) => {
    const usual = of.peek();
    const take = (text: string | null) => {
      const value = (text === null ? undefined : read(text)) ?? usual;
      if (textOf(of.peek()) !== textOf(value)) of.value = value;
    };
    return { name, of, take, usual: textOf(usual) };
  };
  const among = <T>(values: Iterable<T>) => {
    const all = [...values];
    return (text: string) => all.find((value) => textOf(value) === text);
  };
  const indices = (text: string) => (text === "all" ? [] : /^\d{1,4}(\.\d{1,4})*$/.test(text) ? text.split(".").map(Number) : undefined);
  const yesOrNo = among([true, false]);
  const choice = (text: string): Choice | undefined => {
    const [, kind, first, last] = /^(?:(target|segment)-|(?=\d+-))(\d{1,7})(?:-(\d{1,7}))?$/.exec(text) ?? [];
    const [start, end] = [Number(first), Number(last)];
    if (kind === "target" || kind === "segment") {
      return last === undefined && start < { target: targets, segment: segments }[kind].length ? { kind, index: start } : undefined;
    }
    return start < end && end <= output.length ? { kind: "stretch", start, end } : undefined;
  };
  return [
    field("view", state.view, among(VIEWS)),
    field("result", state.result, among(results.keys())),
    field("chosen", state.choice, choice),
    field("scale", state.scale, among(SCALES)),
    field("mask-sink", state.maskSink, yesOrNo),
    field("mask-special", state.maskSpecial, yesOrNo),
    field("renormalised", state.renormalised, yesOrNo),
    field("words", state.merged, yesOrNo),
    field("picture", state.picture, among(PICTURES)),
    field("block", state.block, among((explanation.attention ?? []).keys())),
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
