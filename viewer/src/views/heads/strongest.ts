// The strongest of very many cells, found by counting and not by sorting.

export interface Ranked {
  /** Greater for what is more, 0 for nothing. */
  ranks: Uint8Array | Uint16Array;
  /** How often there is each rank but 0. */
  counts: Uint32Array;
}

// The loops that take the time are functions of their own: browsers compile these sooner.

/** Of floats from 2 ** -31 to 2, told by their bits; what is less has the least rank. They tell apart what float16 does. */
export function rankInto(ranks: Uint16Array, first: number, bits: Uint32Array): void {
  // Floats that are not negative are in the order of their bits: 8 of the exponent, of which 5 remain, and 23, of which 11.
  for (let at = 0; at < bits.length; at++) {
    const own = bits[at]!;
    ranks[first + at] = own && Math.max(1, (own >> 12) - (96 << 11));
  }
}

export function countsOf(ranks: Ranked["ranks"]): Uint32Array {
  const counts = new Uint32Array(1 << (8 * ranks.BYTES_PER_ELEMENT));
  for (let at = 0; at < ranks.length; at++) {
    const rank = ranks[at]!;
    if (rank > 0) counts[rank]!++; // a causal mask hides half of them
  }
  return counts;
}

function cellsFrom(least: number, ranks: Ranked["ranks"]): number[] {
  const found: number[] = [];
  for (let at = 0; at < ranks.length; at++) if (ranks[at]! >= least) found.push(at);
  return found;
}

/**
 * At most `limit` cells that are more than nothing, as indices into each list, ascending; and how many there are. Where
 * not all of a rank have room, those that are taken lie evenly between the others: the first ones alone would make the
 * rows after them look empty.
 */
export function strongest(lists: readonly Ranked[], limit: number): { cells: number[][]; count: number } {
  const all = new Uint32Array(1 << 16);
  let count = 0;
  for (const { counts } of lists) {
    for (let rank = 0; rank < counts.length; rank++) {
      all[rank]! += counts[rank]!;
      count += counts[rank]!;
    }
  }
  let [last, room, met] = [all.length - 1, limit, 0];
  while (last > 0 && room >= all[last]!) room -= all[last--]!;
  const hasRoom = () => (++met * room) % all[last]! < room;
  const cells = lists.map(({ ranks }) => cellsFrom(last || 1, ranks).filter((cell) => ranks[cell]! > last || hasRoom()));
  return { cells, count };
}
