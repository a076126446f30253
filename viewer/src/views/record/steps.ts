// From shares to shades.

import { type Scale, step, stepAt, toUnit } from "../../core/scale.js";

/** A step from -5 to 5 for each share. The linear scale is fixed: the same shade means the same share everywhere. */
export function stepsOf(shares: Float64Array, scale: Scale): Int8Array {
  const position = toUnit(shares, scale);
  return Int8Array.from(shares, (share) => {
    return Math.sign(share) * (scale === "linear" ? step(Math.abs(share)) : stepAt(position(share)));
  });
}
