// Where the searched words stand: one search for all views.

import { computed, type ReadonlySignal } from "@preact/signals-core";
import type { Loaded } from "../core/model.js";
import { remembered } from "../core/remembered.js";
import { find } from "../core/search.js";
import { firstOf } from "../core/text.js";
import type { State } from "./state.js";

/** Characters of a source, by its id; of the output for null. Offsets are code points. */
export interface Place {
  readonly source: string | null;
  readonly start: number;
  readonly end: number;
}

/** Of each text in reading order, none over another. */
export function foundOf({ output, texts, explanation }: Loaded, state: State): ReadonlySignal<readonly Place[]> {
  return computed(() =>
    [output, ...texts].flatMap(({ text }, at) =>
      find(text, state.query.value).map(([start, end]) => ({ source: explanation.sources[at - 1]?.id ?? null, start, end })),
    ),
  );
}

/** Which of the items share a character with one of the places. There may be very many, so they are not all looked at. */
export function within(items: readonly Place[], places: readonly Place[]): number[] {
  const placesOf = remembered((source: string | null) => places.filter((place) => place.source === source));
  return items.flatMap(({ source, start, end }, at) => {
    const own = placesOf(source);
    const next = own[firstOf(own.length, (index) => own[index]!.end > start)];
    return next && next.start < end ? [at] : [];
  });
}
