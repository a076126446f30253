// The strongest cells of a matrix, found by counting and not by sorting.

export interface Strongest {
  /** Indices into the values, ascending. */
  cells: Uint32Array;
  /** How many values hold more than nothing, and their sum. */
  count: number;
  sum: number;
}

/**
 * At most `limit` of the values that are more than nothing; none is negative. Where not all that are equal have
 * room, those that are taken lie evenly between the others: the first ones alone would make the rows after them
 * look empty.
 */
export function strongest(values: Float32Array, limit: number): Strongest {
  // Floats that are not negative are in the order of their bits: they are counted by the upper half of them.
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const counts = new Uint32Array(1 << 16);
  let [count, sum] = [0, 0];
  for (let at = 0; at < bits.length; at++) {
    const own = bits[at]!;
    if (own === 0) continue; // all that a causal mask hides
    counts[own >>> 16]!++;
    sum += values[at]!;
    count++;
  }
  const cells = new Uint32Array(Math.min(limit, count));
  // The bin that holds the least value that is still to be taken, and how many of it are.
  let bin = counts.length - 1;
  let wanted = cells.length;
  while (wanted > counts[bin]!) wanted -= counts[bin--]!;
  const within: number[] = [];
  for (let at = 0; at < bits.length; at++) if (bits[at]! >>> 16 === bin) within.push(values[at]!);
  const sorted = new Float32Array(within).sort();
  const least = sorted.at(-wanted) ?? 0;
  const last = sorted.lastIndexOf(least) + 1;
  const equal = last - sorted.indexOf(least);
  wanted -= sorted.length - last;
  let [found, met] = [0, 0];
  for (let at = 0; found < cells.length; at++) {
    const own = values[at]!;
    if (own > least) cells[found++] = at;
    else if (own === least && (++met * wanted) % equal < wanted) cells[found++] = at;
  }
  return { cells, count, sum };
}
