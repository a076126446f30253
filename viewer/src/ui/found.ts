// Where the searched words stand: one search for all views.

import { computed, type ReadonlySignal } from "@preact/signals-core";
import type { Loaded } from "../core/model.js";
import { find } from "../core/search.js";
import type { State } from "./state.js";

/** `source`: its index; null for the output. Offsets are code points. */
export interface Found {
  readonly source: number | null;
  readonly start: number;
  readonly end: number;
}

export function foundOf({ output, texts }: Loaded, state: State): ReadonlySignal<readonly Found[]> {
  return computed(() =>
    [output, ...texts].flatMap(({ text }, at) =>
      find(text, state.query.value).map(([start, end]) => ({ source: at === 0 ? null : at - 1, start, end })),
    ),
  );
}
