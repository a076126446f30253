// The output, part by part: a sentence is chosen, or where the token level was kept, a word.

import { effect, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { percent } from "../../core/scale.js";
import { stretch } from "../../core/stretch.js";
import { wordsOf } from "../../core/words.js";
import { noun, sharesOfSegment, targetName } from "../../ui/chosen.js";
import { foundRanges } from "../../ui/highlight.js";
import { useViewer, type Viewer } from "../../ui/viewer.js";
import { type Piece, Pieces } from "./pieces.js";
import { stepsOf } from "./steps.js";

export function Answer({ read }: { read: (text: string) => void }) {
  const viewer = useViewer();
  const { loaded, state } = viewer;
  const list = useRef<HTMLDivElement>(null);
  const finer = stretch(loaded, state.result.value, 0, 0) !== null && loaded.targets[0]?.kind !== "token";
  const byWord = useSignal(state.choice.peek()?.kind === "stretch");
  const inWords = finer && (byWord.value || state.choice.value?.kind === "stretch");
  const merged = state.merged.value;

  useEffect(() => {
    if (list.current === null) return;
    return show(viewer, list.current, inWords ? finePieces(viewer, merged) : loaded.targets, inWords, read);
  }, [inWords, merged]);

  const unit = merged ? "word" : "token";
  return (
    <section class="answer" aria-labelledby="whence-answer">
      <div class="line">
        <h2 id="whence-answer">The output</h2>
        {finer && (
          <label>
            Choose by{" "}
            <select
              value={inWords ? "fine" : "target"}
              onChange={(event) => {
                byWord.value = event.currentTarget.value === "fine";
                if (!byWord.value && state.choice.value?.kind === "stretch") state.choice.value = null;
              }}
            >
              <option value="target">{noun(loaded)}</option>
              <option value="fine">{unit}</option>
            </select>
          </label>
        )}
      </div>
      <div
        ref={list}
        class={`text ${!inWords && loaded.targets[0]?.kind === "sentence" ? "numbered" : ""}`}
        role="listbox"
        aria-label={`The output, ${inWords ? unit : noun(loaded)} by ${inWords ? unit : noun(loaded)}`}
        dir="auto"
        lang=""
      />
    </section>
  );
}

function finePieces({ loaded }: Viewer, merged: boolean): Piece[] {
  if (merged) return wordsOf(loaded.output.text).map(([start, end]) => ({ start, end }));
  return (loaded.explanation.output.tokens ?? []).filter(({ start, end }) => end > start);
}

/** Draw the output's parts, and follow the state. The answer ends this. */
function show(
  viewer: Viewer,
  list: HTMLElement,
  parts: readonly Piece[],
  inWords: boolean,
  read: (text: string) => void,
): () => void {
  const { loaded, state, announce, chosen, whole } = viewer;
  let shares: Float64Array | null = null;
  const pieces = new Pieces(list, loaded.output, parts, {
    choose(index) {
      const part = parts[index];
      if (part === undefined) return;
      const now = state.choice.peek();
      const same = inWords
        ? now?.kind === "stretch" && now.start === part.start && now.end === part.end
        : now?.kind === "target" && now.index === index;
      if (same) state.choice.value = null;
      else state.choice.value = inWords ? { kind: "stretch", start: part.start, end: part.end } : { kind: "target", index };
      const { name, masked } = chosen.value;
      const best = masked.shares.reduce((most, share) => Math.max(most, share), 0);
      announce(`Chosen: ${name}. Its strongest passage has ${percent(best)}; ${percent(masked.elsewhere)} is elsewhere.`);
    },
    read(index) {
      const share = index === null ? undefined : shares?.[index];
      read(share === undefined ? "" : `The chosen passage: ${percent(share)} of the evidence for ${targetName(loaded, index ?? 0)}`);
    },
  });
  const stops = [
    effect(() => {
      const choice = state.choice.value;
      const counts = choice?.kind === "segment" && !inWords;
      shares = counts ? sharesOfSegment(loaded, whole.value, choice.index) : null;
      pieces.shade(shares === null ? new Int8Array(parts.length) : stepsOf(shares, state.scale.value));
    }),
    effect(() => {
      const choice = state.choice.value;
      if (choice?.kind === "target" && !inWords) pieces.mark([choice.index]);
      else if (choice === null || choice.kind === "segment") pieces.mark([]);
      else {
        const within = choice.kind === "target" ? loaded.targets[choice.index] : choice;
        pieces.mark(parts.flatMap(({ start, end }, at) => (within && start < within.end && end > within.start ? [at] : [])));
      }
    }),
    foundRanges(viewer, (place) => (place.source === null ? pieces.range(place.start, place.end) : null)),
  ];
  return () => stops.forEach((stop) => stop());
}
