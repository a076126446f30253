// The strongest of many, by the rules of whence.explain.render.ranking.

/** Where the `k` greatest values above zero stand, the greatest first, ties in reading order. */
export function strongest(values: ArrayLike<number>, k: number): number[] {
  const best: number[] = [];
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    let place = best.length;
    while (place > 0 && values[best[place - 1]!]! < value) place--;
    if (!(value > 0) || place >= k) continue;
    best.splice(place, 0, at);
    best.length = Math.min(best.length, k);
  }
  return best;
}
