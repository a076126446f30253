// The keys. Single letters may be turned off: they get in the way of those who speak to their computer.

import { useEffect, useRef } from "preact/hooks";
import type { Signal } from "@preact/signals-core";

const KEYS: readonly (readonly [string, string])[] = [
  ["1 to 4", "the views"],
  ["/", "search"],
  ["n, p", "the next match, the one before"],
  ["m", "the next method"],
  ["arrows", "within a list or a picture; Enter chooses"],
  ["Esc", "choose nothing: the whole output again"],
  ["+, −, 0", "heatmap: larger, smaller, all; Shift and arrows move it"],
  ["[ ], { }", "heatmap of attention: another head, another layer"],
  ["Enter", "heads: keep a token’s lines"],
];

export function Help({ open, keys }: { open: Signal<boolean>; keys: Signal<boolean> }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open.value && dialog.current?.open === false) dialog.current.showModal();
  }, [open.value]);
  return (
    <dialog ref={dialog} aria-labelledby="whence-help" onClose={() => (open.value = false)}>
      <h2 id="whence-help">Keys</h2>
      <dl>
        {KEYS.map(([key, what]) => (
          <div>
            <dt>{key}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label>
        <input type="checkbox" checked={keys.value} onChange={(event) => (keys.value = event.currentTarget.checked)} />{" "}
        Single letters and digits are keys wherever the focus is
      </label>
      <button onClick={() => dialog.current?.close()}>
        Close
      </button>
    </dialog>
  );
}
