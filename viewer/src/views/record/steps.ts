// From shares to shades.

import { step, stepAt, toUnit } from "../../core/scale.js";
import type { Scale } from "../../ui/state.js";

/** Below this a share is written as less than one percent, and is not shaded. */
const UNSEEN = 0.0094;

/** A step from -5 to 5 for each share. The linear scale is fixed: the same shade means the same share everywhere. */
export function stepsOf(shares: Float64Array, scale: Scale): Int8Array {
  if (scale === "linear") {
    return Int8Array.from(shares, (share) => {
      if (Math.abs(share) < UNSEEN) return 0;
      return Math.sign(share) * step(Math.abs(share));
    });
  }
  const position = toUnit(shares, scale);
  return Int8Array.from(shares, (share) => {
    const at = position(share);
    return Math.sign(at) * stepAt(at);
  });
}
