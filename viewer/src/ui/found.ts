// Where the searched words stand: one search for all views.

import { computed, type ReadonlySignal } from "@preact/signals-core";
import type { Loaded } from "../core/model.js";
import { Searched } from "../core/search.js";
import type { State } from "./state.js";

/** `source`: its index; null for the output. Offsets are code points. */
export interface Found {
  readonly source: number | null;
  readonly start: number;
  readonly end: number;
}

export function foundOf(loaded: Loaded, state: State): ReadonlySignal<readonly Found[]> {
  let ready: readonly [number | null, Searched][] | null = null;
  return computed(() => {
    const query = state.query.value;
    if (query.trim() === "") return [];
    ready ??= [
      [null, new Searched(loaded.output.text)],
      ...loaded.texts.map((text, at): [number, Searched] => [at, new Searched(text.text)]),
    ];
    return ready.flatMap(([source, text]) => text.find(query).map(([start, end]) => ({ source, start, end })));
  });
}
