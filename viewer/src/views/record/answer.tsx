// The output, part by part: a sentence is chosen, or where the token level was kept, a word.

import { effect } from "@preact/signals-core";
import { useEffect, useRef } from "preact/hooks";
import { percent } from "../../core/scale.js";
import { stretch } from "../../core/stretch.js";
import { wordsOf } from "../../core/words.js";
import { choose, maskingOf, noun, sharesOfSegment, targetName } from "../../ui/chosen.js";
import { useSignal } from "../../ui/draw.js";
import { foundRanges } from "../../ui/highlight.js";
import { Menu } from "../../ui/menu.js";
import { useViewer, type Viewer } from "../../ui/viewer.js";
import { type Piece, piecesOf } from "./pieces.js";
import { stepsOf } from "./steps.js";

export function Answer({ read }: { read: (text: string) => void }) {
  const viewer = useViewer();
  const { loaded, state } = viewer;
  const list = useRef<HTMLDivElement>(null);
  const finer = stretch(loaded, state.result.value, 0, 0) !== null && loaded.targets[0]?.kind !== "token";
  const byWord = useSignal(false);
  if (state.choice.value?.kind === "stretch") byWord.value = true;
  const inWords = finer && byWord.value;
  const merged = state.merged.value;

  useEffect(() => {
    if (list.current === null) return;
    return show(viewer, list.current, inWords ? finePieces(viewer, merged) : loaded.targets, inWords, read);
  }, [inWords, merged]);

  const fine = merged ? "word" : "token";
  const unit = inWords ? fine : noun(loaded);
  return (
    <section class="answer" aria-labelledby="whence-answer">
      <div class="line">
        <h2 id="whence-answer">The output</h2>
        {finer && (
          <Menu
            label="Choose by"
            options={[noun(loaded), fine]}
            chosen={inWords ? 1 : 0}
            onChoose={(index) => {
              byWord.value = index === 1;
              if (index === 0 && state.choice.value?.kind === "stretch") state.choice.value = null;
            }}
          />
        )}
      </div>
      <div
        ref={list}
        class={`text ${!inWords && loaded.targets[0]?.kind === "sentence" ? "numbered" : ""}`}
        role="listbox"
        aria-label={`The output, ${unit} by ${unit}`}
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

/** Each word's, or token's, share of one segment. */
function sharesByWord({ loaded, state }: Viewer, parts: readonly Piece[], segment: number): Float64Array {
  const result = state.result.value;
  return Float64Array.from(parts, ({ start, end }) => {
    const own = stretch(loaded, result, start, end);
    return own === null ? 0 : loaded.maskedShares(result, own, maskingOf(state)).shares[segment]!;
  });
}

/** Draw the output's parts, and follow the state. The answer ends this. */
function show(
  viewer: Viewer,
  list: HTMLElement,
  parts: readonly Piece[],
  inWords: boolean,
  read: (text: string) => void,
): () => void {
  const { loaded, state, whole } = viewer;
  /** Of a chosen passage, where it counted. */
  let shares: Float64Array | undefined;
  const pieces = piecesOf(list, loaded.output, parts, {
    choose(index) {
      const { start, end } = parts[index]!;
      choose(viewer, inWords ? { kind: "stretch", start, end } : { kind: "target", index });
    },
    read(index = -1) {
      const share = shares?.[index];
      read(share === undefined ? "" : `The chosen passage: ${percent(share)} of the evidence for ${inWords ? "this word" : targetName(loaded, index)}`);
    },
  });
  const stops = [
    effect(() => {
      const choice = state.choice.value;
      shares = choice?.kind !== "segment" ? undefined
        : inWords ? sharesByWord(viewer, parts, choice.index)
        : sharesOfSegment(loaded, whole.value, choice.index);
      pieces.shade(stepsOf(shares ?? new Float64Array(parts.length), state.scale.value));
    }),
    effect(() => {
      const choice = state.choice.value;
      if (choice?.kind === "target" && !inWords) return pieces.mark([choice.index]);
      const within = choice?.kind === "segment" ? null : choice?.kind === "target" ? loaded.targets[choice.index] : choice;
      pieces.mark(parts.flatMap(({ start, end }, at) => (within && start < within.end && end > within.start ? [at] : [])));
    }),
    foundRanges(viewer, (place) => (place.source === null ? pieces.range(place.start, place.end) : null)),
  ];
  return () => stops.forEach((stop) => stop());
}
