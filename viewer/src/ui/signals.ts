// Signals in components: one that reads a signal while it renders is rendered again when that changes. Preact tells
// of what it does by hooks, whose short names are those that it is published with.

import { type Component, options, type VNode } from "preact";
import { useMemo } from "preact/hooks";
import { computed, type ReadonlySignal, type Signal, signal, Tracker } from "../core/signals.js";

export { batch, computed, effect, type ReadonlySignal, type Signal, signal } from "../core/signals.js";

type Tracked = Component & { tracker?: Tracker };
type Hooks = Record<string, ((node: VNode & { __c?: Tracked }, ...others: unknown[]) => void) | undefined>;

let finish: (() => void) | undefined;

function hook(name: string, act: (component: Tracked) => void): void {
  const hooks = options as unknown as Hooks;
  const before = hooks[name];
  hooks[name] = (node, ...others) => {
    finish?.();
    finish = undefined;
    if (node?.__c) act(node.__c);
    before?.(node, ...others);
  };
}

// Before anything is compared, after it is, and where a component throws: what was rendered is at its end.
for (const name of ["__b", "diffed", "__e"]) hook(name, () => {});
hook("__r", (component) => {
  component.tracker ??= new Tracker(() => component.setState({}));
  finish = component.tracker.start();
});
hook("unmount", (component) => component.tracker?.dispose());

export function useSignal<T>(value: T): Signal<T> {
  return useMemo(() => signal(value), []);
}

/** `compute` may read signals, and what never changes. */
export function useComputed<T>(compute: () => T): ReadonlySignal<T> {
  return useMemo(() => computed(compute), []);
}
