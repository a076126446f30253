// The attention that is chosen: the mean over some heads, computed in slices, so that the page stays quick meanwhile.

import type { Signal } from "@preact/signals-core";
import { useEffect } from "preact/hooks";
import type { Loaded, Matrix } from "../../core/model.js";
import type { Block } from "../../core/schema.js";
import { useSignal } from "../../ui/draw.js";
import { useViewer } from "../../ui/viewer.js";
import { chosenOf } from "./pickers.js";

/** What was added up: null where none of these heads has values. */
export interface Mean {
  /** In words: which layers and heads. */
  name: string;
  matrix: Matrix | null;
  /** What must be said of it. */
  said: string;
}

/** Milliseconds of work after which others may have their turn. */
const SLICE = 12;

/** The mean over what is chosen of a block. While another is added up the last one stays; `progress` says how far. */
export function useMean(block: Block): { mean: Mean | null; progress: string } {
  const { loaded, state } = useViewer();
  const layers = chosenOf(state.layers.value, block.layers.length).map((at) => block.layers[at]!);
  const heads = chosenOf(state.heads.value, block.heads);
  const mean = useSignal<Mean | null>(null);
  const progress = useSignal("");
  useEffect(() => {
    const control = new AbortController();
    addUp(loaded, block, layers, heads, progress, control.signal)
      .then((own) => (mean.value = own))
      .catch((error: unknown) => control.signal.aborted || (progress.value = `This attention cannot be shown: ${String(error)}`));
    return () => control.abort();
  }, [block, `${layers} ${heads}`]);
  return { mean: mean.value, progress: progress.value };
}

async function addUp(
  loaded: Loaded,
  block: Block,
  layers: readonly number[],
  heads: readonly number[],
  progress: Signal<string>,
  signal: AbortSignal,
): Promise<Mean> {
  const attention = loaded.attention(block);
  const sum = new Float32Array(block.queries.length * block.keys.length);
  const count = layers.length * heads.length;
  let [done, missing] = [0, 0];
  let since = performance.now();
  for (const layer of layers) {
    for (const head of heads) {
      if (performance.now() - since > SLICE) {
        progress.value = `Adding up: ${done} of ${count} heads`;
        await new Promise((resume) => setTimeout(resume));
        since = performance.now();
      }
      const own = await attention.weights(layer, head);
      signal.throwIfAborted();
      if (own === null) missing++;
      else {
        const { codes, levels } = own;
        for (let at = 0; at < sum.length; at++) sum[at]! += levels[codes[at]!]!;
        done++;
      }
    }
  }
  if (done > 1) for (let at = 0; at < sum.length; at++) sum[at]! /= done;
  progress.value = "";
  const left = missing === 0 ? "" : ` The values of ${missing} were left out.`;
  return {
    name: `${listed("layer", layers, block.layers.length)}, ${listed("head", heads, block.heads)}`,
    matrix: done === 0 ? null : { rows: block.queries.length, columns: block.keys.length, values: sum },
    said: count === 1 ? left : `Mean over ${done} heads.${left}`,
  };
}

function listed(what: string, list: readonly number[], count: number): string {
  if (list.length === 1) return `${what} ${list[0]}`;
  return `${list.length === count ? "all " : ""}${what}s${list.length === count ? "" : ` ${list.join(", ")}`}`;
}
