// The keys. Single letters may be turned off: they get in the way of those who speak to their computer.

import type { Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

const KEYS: readonly (readonly [string, string])[] = [
  ["1 to 4", "the views, from left to right"],
  ["/", "search; Enter goes to the next match, Shift and Enter to the one before"],
  ["n, p", "the next match, the one before"],
  ["m", "the next method"],
  ["?", "this list"],
  ["Tab", "from the output to the passages, each source, and the controls"],
  ["arrow keys", "within the output or a source: from part to part; Home and End to its ends"],
  ["Enter, Space", "choose the part that has the focus"],
  ["Esc", "choose nothing: the whole output again"],
];

export function Help({ open, keys }: { open: Signal<boolean>; keys: Signal<boolean> }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open.value && dialog.current?.open === false) dialog.current.showModal();
  }, [open.value]);
  return (
    <dialog ref={dialog} class="help" aria-labelledby="whence-help" onClose={() => (open.value = false)}>
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
        Single letters, digits and signs are keys
      </label>
      <button type="button" onClick={() => dialog.current?.close()}>
        Close
      </button>
    </dialog>
  );
}
