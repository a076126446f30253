// The output, part by part: a sentence is chosen, or where the token level was kept, a word.

import { effect } from "@preact/signals-core";
import { useEffect, useRef } from "preact/hooks";
import { percent } from "../../core/scale.js";
import { stretch } from "../../core/stretch.js";
import { wordsOf } from "../../core/words.js";
import { choose, noun, sharesOfSegment, targetName } from "../../ui/chosen.js";
import { useSignal } from "../../ui/draw.js";
import { foundRanges } from "../../ui/highlight.js";
import { Menu } from "../../ui/menu.js";
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

/** Draw the output's parts, and follow the state. The answer ends this. */
function show(
  viewer: Viewer,
  list: HTMLElement,
  parts: readonly Piece[],
  inWords: boolean,
  read: (text: string) => void,
): () => void {
  const { loaded, state, whole } = viewer;
  let shares: Float64Array | null = null;
  const pieces = new Pieces(list, loaded.output, parts, {
    choose(index) {
      const { start, end } = parts[index] ?? { start: 0, end: 0 };
      choose(viewer, inWords ? { kind: "stretch", start, end } : { kind: "target", index });
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
      if (choice?.kind === "target" && !inWords) return pieces.mark([choice.index]);
      const within = choice?.kind === "target" ? loaded.targets[choice.index] : choice?.kind === "stretch" ? choice : null;
      pieces.mark(parts.flatMap(({ start, end }, at) => (within && start < within.end && end > within.start ? [at] : [])));
    }),
    foundRanges(viewer, (place) => (place.source === null ? pieces.range(place.start, place.end) : null)),
  ];
  return () => stops.forEach((stop) => stop());
}
