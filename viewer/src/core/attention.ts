// The attention of one block, decoded head by head when it is looked at.

import { fromBase64, unpack } from "./packing.js";
import type { FetchHead } from "./model.js";
import type { Block } from "./schema.js";

/** One head: `levels[codes[query * keys + key]]` is a weight. Codes ascend with the weights that they stand for. */
export interface HeadWeights {
  keys: number;
  codes: Uint8Array | Uint16Array;
  levels: Float32Array;
}

export interface Attention {
  readonly block: Block;
  /** The weights of one head, queries x keys; null where they are left out. Throws where they are damaged. */
  weights(layer: number, head: number): Promise<HeadWeights | null>;
  /** The sum of each query's weights before encoding: 1, less what sinks of the model's own took. */
  rowSums(layer: number, head: number): Float32Array | null;
}

const CACHE_BYTES = 1 << 26;

export function attentionOf(block: Block, fetchHead: FetchHead | undefined): Attention {
  const { queries: { length: queries }, keys: { length: keys } } = block;
  const wide = block.encoding === "float16";
  const bytes = queries * keys * (wide ? 2 : 1);
  const levels = wide ? halves() : U8_LOG;
  // The head that was looked at last stands last.
  const kept = new Map<string, HeadWeights>();
  const told = (layer: number, head: number) => block.data[block.layers.indexOf(layer) * block.heads + head]!;
  return {
    block,
    async weights(layer, head) {
      const name = `${layer} ${head}`;
      let decoded = kept.get(name);
      if (decoded === undefined) {
        const packed = told(layer, head).values ?? (await fetchHead?.(block.name, layer, head));
        if (packed == null) return null;
        const codes = await unpack(packed, bytes);
        decoded = { keys, codes: wide ? new Uint16Array(codes.buffer) : codes, levels };
        const [oldest = ""] = kept.keys();
        if ((kept.size + 1) * bytes > CACHE_BYTES) kept.delete(oldest);
      }
      kept.delete(name);
      kept.set(name, decoded);
      return decoded;
    },
    rowSums(layer, head) {
      const packed = told(layer, head).row_sums;
      return packed === null ? null : new Float32Array(fromBase64(packed).buffer);
    },
  };
}

/** Code 0 is 0, code c from 1 to 255 is 10 ** (6 * (c - 255) / 254). */
const U8_LOG = Float32Array.from({ length: 256 }, (_, code) => code && 10 ** ((6 * (code - 255)) / 254));

/** All numbers of IEEE 754 binary16 from 0 to infinity: weights have no sign. */
function halves(): Float32Array {
  return Float32Array.from({ length: 1 << 15 }, (_, code) => {
    const exponent = code >> 10;
    return ((exponent && 1024) + (code & 1023)) * 2 ** (Math.max(1, exponent) - 25);
  });
}
