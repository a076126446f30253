// The attention that is chosen, as it becomes known.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Attention } from "../../core/attention.js";
import type { Block } from "../../core/schema.js";
import { useViewer } from "../../ui/viewer.js";
import { addUp, type Place, type Progress } from "./mean.js";
import { chosenOf } from "./pickers.js";

const known = new WeakMap<Block, Attention>();

export interface Chosen {
  attention: Attention;
  places: readonly Place[];
  /** In words: which layers and heads. */
  name: string;
}

/** What of a block is chosen. */
export function useChosen(block: Block): Chosen {
  const { loaded, state } = useViewer();
  const layers = chosenOf(state.layers.value, block.layers.length).map((at) => block.layers[at] ?? 0);
  const heads = chosenOf(state.heads.value, block.heads);
  const key = `${layers} ${heads}`;
  return useMemo(() => {
    const attention = known.get(block) ?? new Attention(block, loaded.fetchHead);
    known.set(block, attention);
    const places = layers.flatMap((layer) => heads.map((head) => ({ layer, head })));
    const one = places.length === 1;
    const all = (list: readonly number[], count: number, what: string) =>
      list.length === count && count > 1 ? `all ${count} ${what}s` : `${what}${list.length === 1 ? "" : "s"} ${list.join(", ")}`;
    const name = `${all(layers, block.layers.length, "layer")}, ${all(heads, block.heads, "head")}`;
    return { attention, places, name: one ? name : `mean over ${name}` };
  }, [block, key]);
}

export interface Running {
  progress: Progress | null;
  error: string;
  running: boolean;
  stop: () => void;
}

/** Adds up what is chosen, and draws again whenever more is known. */
export function useMean({ attention, places }: Chosen): Running {
  const now = useSignal<{ of: readonly Place[]; progress: Progress | null; error: string; running: boolean } | null>(null);
  const stop = useRef(() => {});
  useEffect(() => {
    const control = new AbortController();
    const set = (progress: Progress | null, running: boolean, error = "") => {
      now.value = { of: places, progress, running, error };
    };
    let last: Progress | null = null;
    stop.current = () => {
      control.abort();
      set(last, false);
    };
    const tell = (progress: Progress) => {
      last = progress;
      set(progress, progress.done + progress.missing < progress.of);
    };
    addUp(attention, places, tell, control.signal).catch((error: unknown) => {
      if (!control.signal.aborted) set(last, false, error instanceof Error ? error.message : "it is damaged");
    });
    return () => control.abort();
  }, [attention, places]);
  // While another choice is being added up the last picture stays: an empty one in between would flicker.
  const { progress = null, error = "", running = true, of } = now.value ?? {};
  const own = of === places || (progress?.matrix?.rows === attention.shape.queries && progress.matrix.columns === attention.shape.keys);
  return { progress: own ? progress : null, error, running: running || of !== places, stop: () => stop.current() };
}
