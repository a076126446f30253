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
  // Floats that are not negative are in the order of their bits. Upper halves are counted first; then lower
  // halves, among those with the upper half of the least value that is still to be taken.
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const upper = new Uint32Array(1 << 16);
  let sum = 0;
  let count = 0;
  for (let at = 0; at < bits.length; at++) {
    const own = bits[at]!;
    if (own === 0) continue; // all that a causal mask hides
    upper[own >>> 16]!++;
    sum += values[at]!;
    count++;
  }
  if (count <= limit) return { cells: collect(bits, count, 1, 0, 0), count, sum };
  const [half, above] = edge(upper, limit);
  const lower = new Uint32Array(1 << 16);
  for (let at = 0; at < bits.length; at++) if (bits[at]! >>> 16 === half) lower[bits[at]! & 0xffff]!++;
  const [rest, greater] = edge(lower, limit - above);
  const least = half * (1 << 16) + rest;
  return { cells: collect(bits, limit, least, lower[rest]!, limit - above - greater), count, sum };
}

/** The greatest bin with which `wanted` are reached, counted from above, and how many lie in the bins above it. */
function edge(counts: Uint32Array, wanted: number): [number, number] {
  let above = 0;
  let bin = counts.length - 1;
  while (bin > 0 && above + counts[bin]! < wanted) above += counts[bin--]!;
  return [bin, above];
}

/** All above `least`, and of the `equal` ones that have it `wanted`, evenly; where `equal` is 0, those with it too. */
function collect(bits: Uint32Array, size: number, least: number, equal: number, wanted: number): Uint32Array {
  const cells = new Uint32Array(size);
  let found = 0;
  let met = 0;
  for (let at = 0; at < bits.length && found < size; at++) {
    const own = bits[at]!;
    if (own < least) continue;
    if (own > least || equal === 0) cells[found++] = at;
    else if (Math.floor((++met * wanted) / equal) > Math.floor(((met - 1) * wanted) / equal)) cells[found++] = at;
  }
  return cells;
}
