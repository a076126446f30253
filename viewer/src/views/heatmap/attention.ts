// The attention that is chosen: the mean over some heads, computed in slices, so that the page stays quick meanwhile.

import { useEffect } from "preact/hooks";
import type { Matrix } from "../../core/model.js";
import { listed } from "../../core/naming.js";
import type { Block } from "../../core/schema.js";
import { visible } from "../../core/text.js";
import { useSignal } from "../../ui/draw.js";
import { chosenOf } from "../../ui/pickers.js";
import { useViewer } from "../../ui/viewer.js";

/** What was added up: null where none of these heads has values. */
export interface Mean {
  /** In words: which layers and heads. */
  name: string;
  matrix: Matrix | null;
}

/** Milliseconds of work after which others may have their turn. */
const SLICE = 12;

/**
 * The mean over what is chosen of a block. While another is added up the last one stays; `said`: how far that is, or
 * what must be said of it.
 */
export function useMean(block: Block): { mean: Mean | null; said: string } {
  const { loaded, state } = useViewer();
  const layers = chosenOf(state.layers.value, block.layers.length).map((at) => block.layers[at]!);
  const heads = chosenOf(state.heads.value, block.heads);
  const mean = useSignal<Mean | null>(null);
  const said = useSignal("");
  useEffect(() => {
    let wanted = true;
    const addUp = async () => {
      const attention = loaded.attention(block);
      const [rows, columns] = [block.queries.length, block.keys.length];
      const values = new Float32Array(rows * columns);
      const all = layers.flatMap((layer) => heads.map((head) => [layer, head] as const));
      let done = 0;
      let since = performance.now();
      for (const [layer, head] of all) {
        if (performance.now() - since > SLICE) {
          said.value = `Adding up: ${done} of ${all.length} heads`;
          await new Promise((resume) => setTimeout(resume));
          since = performance.now();
        }
        const own = await attention.weights(layer, head);
        if (!wanted) return;
        if (own === null) continue;
        const { codes, levels } = own;
        for (let at = 0; at < values.length; at++) values[at]! += levels[codes[at]!]!;
        done++;
      }
      if (done > 1) for (let at = 0; at < values.length; at++) values[at]! /= done;
      said.value = all.length > 1 && done > 0 ? `Mean over ${done} heads.` : "";
      if (all.length > done) said.value += ` The values of ${all.length - done} were left out. ${visible(block.left_out ?? "")}`;
      if (all.length === 0) said.value = "No head is chosen.";
      mean.value = {
        name: `${listed("layer", layers, block.layers.length)}, ${listed("head", heads, block.heads)}`,
        matrix: done === 0 ? null : { rows, columns, values },
      };
    };
    addUp().catch((error: unknown) => {
      if (!wanted) return;
      mean.value = null;
      said.value = `This attention cannot be shown: ${String(error)}`;
    });
    return () => {
      wanted = false;
    };
  }, [block, `${layers} ${heads}`]);
  return { mean: mean.value, said: said.value };
}
