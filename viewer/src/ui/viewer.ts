// What every view is given.

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Loaded } from "../core/model.js";
import type { State } from "./state.js";

export interface Viewer {
  loaded: Loaded;
  state: State;
  /** Tell a screen reader what has happened. */
  announce: (text: string) => void;
  /** Where the viewer was mounted: key handlers, styles and sizes belong to it alone. */
  root: Document | ShadowRoot;
}

export const ViewerContext = createContext<Viewer | null>(null);

export function useViewer(): Viewer {
  const viewer = useContext(ViewerContext);
  if (viewer === null) throw new Error("a view stands outside the viewer");
  return viewer;
}
