// The attention of one block, decoded head by head when it is looked at.

import { fromBase64, gunzip } from "./packing.js";
import type { FetchHead, Matrix } from "./model.js";
import type { Block, Head } from "./schema.js";

/** One head: `levels[codes[query * keys + key]]` is a weight. Codes ascend with the weights that they stand for. */
export interface HeadWeights {
  queries: number;
  keys: number;
  codes: Uint8Array | Uint16Array;
  levels: Float32Array;
}

const CACHE_BYTES = 1 << 26;

export class Attention {
  private readonly kept = new Map<string, HeadWeights>();
  private keptBytes = 0;

  constructor(
    readonly block: Block,
    private readonly fetchHead: FetchHead,
  ) {}

  get shape(): { queries: number; keys: number } {
    return { queries: this.block.queries.length, keys: this.block.keys.length };
  }

  /** The weights of one head, queries x keys; null where they are left out. Throws where they are damaged. */
  async weights(layer: number, head: number): Promise<HeadWeights | null> {
    const name = `${layer} ${head}`;
    const known = this.kept.get(name);
    if (known !== undefined) {
      this.kept.delete(name);
      this.kept.set(name, known);
      return known;
    }
    const packed = await this.fetchHead(this.block.name, layer, head);
    if (packed === null) return null;
    const { queries, keys } = this.shape;
    const wide = this.block.encoding === "float16";
    const bytes = await gunzip(fromBase64(packed), queries * keys * (wide ? 2 : 1));
    const codes = wide ? new Uint16Array(bytes.buffer) : bytes;
    const decoded = { queries, keys, codes, levels: wide ? halves() : U8_LOG };
    this.kept.set(name, decoded);
    this.keptBytes += codes.byteLength;
    for (const [oldest, own] of this.kept) {
      if (this.keptBytes <= CACHE_BYTES || oldest === name) break;
      this.kept.delete(oldest);
      this.keptBytes -= own.codes.byteLength;
    }
    return decoded;
  }

  /** The greatest weight in each cell of `thumbnail_shape`; null where it is left out. */
  thumbnail(layer: number, head: number): Matrix | null {
    const packed = this.head(layer, head).thumbnail;
    if (packed === null) return null;
    const [rows, columns] = this.block.thumbnail_shape;
    return { rows, columns, values: Float32Array.from(fromBase64(packed), (code) => U8_LOG[code]!) };
  }

  /** The sum of each query's weights before encoding: 1, less what sinks of the model's own took. */
  rowSums(layer: number, head: number): Float32Array | null {
    const packed = this.head(layer, head).row_sums;
    return packed === null ? null : new Float32Array(fromBase64(packed).buffer);
  }

  private head(layer: number, head: number): Head {
    return this.block.data[this.block.layers.indexOf(layer) * this.block.heads + head]!;
  }
}

/** Code 0 is 0, code c from 1 to 255 is 10 ** (6 * (c - 255) / 254). */
const U8_LOG = Float32Array.from({ length: 256 }, (_, code) => (code === 0 ? 0 : 10 ** ((6 * (code - 255)) / 254)));

let known: Float32Array | null = null;

/** All numbers of IEEE 754 binary16 from 0 to infinity: weights have no sign. */
function halves(): Float32Array {
  known ??= Float32Array.from({ length: 1 << 15 }, (_, code) => {
    const exponent = code >> 10;
    const fraction = code & 1023;
    return exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
  return known;
}
