// What all views have in common: the scale, what is left out, and the search.

import type { Signal } from "@preact/signals";
import { SCALES, type Scale } from "./state.js";
import { useViewer } from "./viewer.js";

const SCALE_NAMES: Record<Scale, string> = { linear: "linear", log: "logarithmic", percentile: "percentile" };

export function Options() {
  const { loaded, state, announce } = useViewer();
  const { scores } = loaded.result(state.result.value).told;
  const check = (label: string, of: Signal<boolean>, on: string, off: string) => (
    <label>
      <input
        type="checkbox"
        checked={of.value}
        onChange={(event) => {
          of.value = event.currentTarget.checked;
          announce(of.value ? on : off);
        }}
      />{" "}
      {label}
    </label>
  );
  const elsewhere = scores.elsewhere !== null || loaded.explanation.attention !== null;
  return (
    <div class="options" role="group" aria-label="How it is drawn">
      <label>
        Scale{" "}
        <select
          value={state.scale.value}
          onChange={(event) => {
            state.scale.value = SCALES[event.currentTarget.selectedIndex] ?? "linear";
            announce(`Scale: ${SCALE_NAMES[state.scale.value]}`);
          }}
        >
          {SCALES.map((scale) => (
            <option value={scale}>{SCALE_NAMES[scale]}</option>
          ))}
        </select>
      </label>
      {elsewhere && (
        <>
          {check("Mask the first token", state.maskSink, "The first token is masked", "The first token is shown")}
          {check("Mask special tokens", state.maskSpecial, "Special tokens are masked", "Special tokens are shown")}
          <label>
            Shares{" "}
            <select
              value={state.renormalised.value ? "shown" : "all"}
              onChange={(event) => {
                state.renormalised.value = event.currentTarget.value === "shown";
                announce(state.renormalised.value ? "Shares of what is shown" : "Shares of all evidence");
              }}
            >
              <option value="all">raw: of all evidence</option>
              <option value="shown">renormalised: of what is shown</option>
            </select>
          </label>
        </>
      )}
      {check("Whole words", state.merged, "Tokens are merged to words", "Tokens are shown as they are")}
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
    announce(`Match ${state.match.value + 1} of ${count}`);
  };
}

export function Search() {
  const { state, found, announce } = useViewer();
  const go = useMatch();
  const query = state.query.value;
  const count = found.value.length;
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        go(1);
      }}
    >
      <input
        type="search"
        aria-label="Search the output and the sources"
        placeholder="Search"
        value={query}
        onInput={(event) => {
          state.match.value = 0;
          state.query.value = event.currentTarget.value;
          announce(`${found.value.length} found`);
        }}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || !event.shiftKey) return;
          event.preventDefault();
          go(-1);
        }}
      />
      {query.trim() !== "" && <span class="count">{count === 0 ? "none" : `${state.match.value + 1} of ${count}`}</span>}
      <button type="button" aria-label="Previous match" disabled={count === 0} onClick={() => go(-1)}>
        ↑
      </button>
      <button type="submit" aria-label="Next match" disabled={count === 0}>
        ↓
      </button>
    </form>
  );
}
