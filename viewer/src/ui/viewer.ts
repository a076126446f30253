// What every view is given.

import type { ReadonlySignal, Signal } from "@preact/signals-core";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Loaded } from "../core/model.js";
import type { Chosen, Whole } from "./chosen.js";
import type { Place } from "./found.js";
import type { State } from "./state.js";

export interface Viewer {
  loaded: Loaded;
  state: State;
  /** Tell a screen reader what has happened. */
  announce: (text: string) => void;
  /** Where the viewer was mounted: key handlers, styles and sizes belong to it alone. */
  root: Document | ShadowRoot;
  /** What the chosen part of the output rests on, or the whole output where none is chosen. */
  chosen: ReadonlySignal<Chosen>;
  /** What the whole output rests on. */
  whole: ReadonlySignal<Whole>;
  /** Where the searched words stand, in the output and then in the sources. */
  found: ReadonlySignal<readonly Place[]>;
  /** A segment that the record is to bring into sight; it is cleared when that is done. */
  jump: Signal<number | null>;
  /** What was told last. */
  told: ReadonlySignal<string>;
}

export const ViewerContext = createContext<Viewer | null>(null);

export function useViewer(): Viewer {
  const viewer = useContext(ViewerContext);
  if (viewer === null) throw new Error("a view stands outside the viewer");
  return viewer;
}
