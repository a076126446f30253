// What Python calls things (whence.explain.render.wording): whoever shows an explanation brings it, so that it is
// written once.

import type told from "../generated/words.json";

export type Words = typeof told;

/** Empty until it is learned. */
export const words = {} as Words;

export function learn(told: Words): void {
  Object.assign(words, told);
}
