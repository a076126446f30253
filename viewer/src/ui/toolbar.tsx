// What all views have in common: the scale, what is left out, and the search.

import { Menu } from "./menu.js";
import type { Signal } from "@preact/signals-core";
import { SCALES } from "../core/scale.js";
import { useViewer } from "./viewer.js";

const SHARES = ["raw: of all evidence", "renormalised: of what is shown"];

export function Options() {
  const { loaded, state, announce } = useViewer();
  const { scores } = loaded.result(state.result.value).told;
  function menu<T>(label: string, of: Signal<T>, values: readonly T[], options: readonly string[]) {
    const choose = (index: number) => {
      of.value = values[index] ?? of.value;
      announce(`${label}: ${options[index]}`);
    };
    return <Menu label={label} options={options} chosen={values.indexOf(of.value)} onChoose={choose} />;
  }
  const check = (label: string, of: Signal<boolean>) => (
    <label>
      <input
        type="checkbox"
        checked={of.value}
        onChange={(event) => {
          of.value = event.currentTarget.checked;
          announce(`${label}: ${of.value ? "yes" : "no"}`);
        }}
      />{" "}
      {label}
    </label>
  );
  return (
    <div class="options" role="group" aria-label="How it is drawn">
      {menu("Scale", state.scale, SCALES, SCALES)}
      {(scores.elsewhere !== null || loaded.explanation.attention !== null) && (
        <>
          {check("Mask the first token", state.maskSink)}
          {check("Mask special tokens", state.maskSpecial)}
          {menu("Shares", state.renormalised, [false, true], SHARES)}
        </>
      )}
      {check("Whole words", state.merged)}
    </div>
  );
}

/** Go to another match, round the end. */
export function useMatch(): (by: number) => void {
  const { state, found, announce } = useViewer();
  return (by) => {
    const count = found.value.length;
    if (count === 0) return;
    state.match.value = (state.match.value + by + count) % count;
    // A list of sources has no words to show it in.
    if (state.view.value === "sources") state.view.value = "record";
    announce(`Match ${state.match.value + 1} of ${count}`);
  };
}

export function Search() {
  const { state, found, announce } = useViewer();
  const go = useMatch();
  const count = found.value.length;
  const arrow = (sign: string, name: string, by: number) => (
    <button aria-label={name} disabled={count === 0} onClick={() => go(by)}>
      {sign}
    </button>
  );
  return (
    <div class="search" role="search">
      <input
        type="search"
        aria-label="Search the output and the sources"
        placeholder="Search"
        value={state.query.value}
        onInput={(event) => {
          state.match.value = 0;
          state.query.value = event.currentTarget.value;
          announce(`${found.value.length} found`);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") go(event.shiftKey ? -1 : 1);
        }}
      />{" "}
      {state.query.value.trim() && <span class="count">{count > 0 && `${state.match.value + 1} of `}{count} </span>}
      {arrow("↑", "Previous match", -1)} {arrow("↓", "Next match", 1)}
    </div>
  );
}
