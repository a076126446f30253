// The strongest cells of matrices, found by counting and not by sorting.

/**
 * At most `limit` of the values that are more than nothing, as indices into each list, ascending; and how many there
 * are. None is negative. Where not all that are equal have room, those that are taken lie evenly between the others:
 * the first ones alone would make the rows after them look empty.
 */
export function strongest(lists: readonly Float32Array[], limit: number): { cells: number[][]; count: number } {
  // Floats that are not negative are in the order of their bits: they are counted by the upper half of them, and
  // where the limit cuts through such a half by the lower one.
  const all = lists.map(({ buffer }) => new Uint32Array(buffer));
  const [upper, lower] = [new Uint32Array(1 << 16), new Uint32Array(1 << 16)];
  let count = 0;
  for (const bits of all) {
    for (let at = 0; at < bits.length; at++) {
      const own = bits[at]!;
      if (own === 0) continue; // all that a causal mask hides
      upper[own >>> 16]!++;
      count++;
    }
  }
  let room = limit;
  /** The greatest number of which not all have room. */
  const last = (counts: Uint32Array) => {
    let at = counts.length - 1;
    while (at > 0 && room >= counts[at]!) room -= counts[at--]!;
    return at;
  };
  const half = last(upper);
  const bound = half * (1 << 16);
  // Most are too weak: only the others are looked at again.
  const may = all.map((bits) => {
    const found: number[] = [];
    for (let at = 0; at < bits.length; at++) {
      const own = bits[at]!;
      if (own < bound || own === 0) continue;
      found.push(at);
      if (own >>> 16 === half) lower[own & 0xffff]!++;
    }
    return found;
  });
  const low = last(lower);
  const least = bound + low;
  let met = 0;
  const cells = may.map((found, which) =>
    found.filter((at) => {
      const own = all[which]![at]!;
      return own > least || (own === least && (++met * room) % lower[low]! < room);
    }),
  );
  return { cells, count };
}
