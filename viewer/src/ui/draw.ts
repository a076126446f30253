// What joins the two libraries: trees of Preact that follow the signals that they read.

import { effect, type Signal, signal } from "@preact/signals-core";
import { type ComponentChild, render } from "preact";
import { useMemo } from "preact/hooks";

/** Draw a tree into `place`, and soon again when a signal that it read has another value. The answer takes it away. */
export function draw(tree: () => ComponentChild, place: Element): () => void {
  let stop = () => {};
  let wanted = true;
  const now = () => {
    if (!wanted) return;
    stop();
    let drawn = false;
    stop = effect(() => {
      // All that changes at once is drawn at once, after it.
      if (drawn) queueMicrotask(now);
      else render(tree(), place);
      drawn = true;
    });
  };
  now();
  return () => {
    wanted = false;
    stop();
    render(null, place);
  };
}

/** A signal of a component's own. */
export function useSignal<Value>(initial: Value): Signal<Value> {
  return useMemo(() => signal(initial), []);
}
