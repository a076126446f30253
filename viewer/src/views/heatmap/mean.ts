// The mean over some heads, computed in slices, so that the page stays quick meanwhile.

import type { Attention } from "../../core/attention.js";
import type { Matrix } from "../../core/model.js";
import { decoded } from "./heat.js";

export interface Place {
  layer: number;
  head: number;
}

/** What is known so far: `matrix` is the mean over the first `done` heads of all that have values. */
export interface Progress {
  matrix: Matrix | null;
  done: number;
  of: number;
  /** How many of them have no values. */
  missing: number;
}

/** Milliseconds of work after which others may have their turn. */
const SLICE = 12;
/** A mean that still grows is shown after 1, 4, 16, ... heads: to draw it takes as long as to add a few heads. */
const GROWTH = 4;

/** Add up the heads; `tell` hears of each mean that is worth to be shown, and of the last. Rejects when aborted. */
export async function addUp(
  attention: Attention,
  places: readonly Place[],
  tell: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  const { queries, keys } = attention.shape;
  const sum = new Float32Array(queries * keys);
  let [done, missing, next] = [0, 0, 1];
  let since = performance.now();
  for (const { layer, head } of places) {
    if (performance.now() - since > SLICE) {
      await new Promise((resume) => setTimeout(resume));
      since = performance.now();
    }
    signal.throwIfAborted();
    const own = await attention.weights(layer, head);
    signal.throwIfAborted();
    if (own === null) {
      missing++;
      continue;
    }
    if (places.length === 1) return tell({ matrix: decoded(own), done: 1, of: 1, missing });
    const { codes, levels } = own;
    for (let at = 0; at < sum.length; at++) sum[at]! += levels[codes[at]!]!;
    done++;
    if (done === next && done + missing < places.length) {
      next *= GROWTH;
      tell({ matrix: divided(sum, done, queries, keys), done, of: places.length, missing });
    }
  }
  const matrix = done === 0 ? null : divided(sum, done, queries, keys);
  tell({ matrix, done, of: places.length, missing });
}

function divided(sum: Float32Array, count: number, rows: number, columns: number): Matrix {
  return { rows, columns, values: sum.map((value) => value / count) };
}
