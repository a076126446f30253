// The sources in full, each passage shaded by its share.

import { effect } from "@preact/signals-core";
import { useEffect, useRef } from "preact/hooks";
import { score } from "../../core/describe.js";
import { percent } from "../../core/scale.js";
import type { Segment, Source } from "../../core/schema.js";
import { type DrawnText, drawnText, visible } from "../../core/text.js";
import { choose } from "../../ui/chosen.js";
import { foundRanges } from "../../ui/highlight.js";
import { useViewer, type Viewer } from "../../ui/viewer.js";
import { type Piece, piecesOf } from "./pieces.js";
import { stepsOf } from "./steps.js";

export function Sources({ read }: { read: (text: string) => void }) {
  const viewer = useViewer();
  const { loaded } = viewer;
  const place = useRef<HTMLElement>(null);
  useEffect(() => (place.current === null ? undefined : show(viewer, place.current, read)), []);
  return (
    <section class="sources" aria-label="The sources in full" ref={place}>
      {loaded.explanation.sources.map((source, at) => (
        <article>
          <h3>
            <bdi>{loaded.names[at]}</bdi>
          </h3>
          <About source={source} />
          <div class="text" role="listbox" aria-label={loaded.names[at]} dir="auto" lang="" />
        </article>
      ))}
    </section>
  );
}

/** What is told of a source: where that is more than a line or two, it is folded. */
function About({ source }: { source: Source }) {
  const facts = Object.entries(source.metadata);
  return (
    <>
      {facts.length > 0 && (
        <details open={facts.flat().join("").length <= 160}>
          <summary>Facts told of it</summary>
          <dl class="facts">
            {facts.map(([name, value]) => (
              <div>
                <dt dir="auto">{visible(name)}</dt>
                <dd dir="auto">{visible(value)}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
      {source.text === null && (
        <p class="quiet">
          An image, not shown here: {visible(source.media_type ?? "")}, SHA-256 {visible(source.sha256 ?? "")}. Its regions:
        </p>
      )}
    </>
  );
}

/** Draw the sources, and follow the state. The answer ends this. */
function show(viewer: Viewer, place: HTMLElement, read: (text: string) => void): () => void {
  const { loaded, state, chosen, jump } = viewer;
  let next = 0;
  /** Each source: its first segment, and the pieces, which are its segments. */
  const parts = Array.from(place.querySelectorAll<HTMLElement>("[role=listbox]"), (list, at) => {
    const first = next;
    const own = loaded.segments.filter(({ source }) => loaded.sourceIndex.get(source) === at);
    next += own.length;
    const pieces = piecesOf(list, ...textOf(viewer, at, first, own), {
      choose: (piece) => choose(viewer, { kind: "segment", index: first + piece }),
      read: (piece) => read(piece === undefined ? "" : reading(viewer, first + piece)),
    });
    // A source in which nothing receives credit is a text and no list.
    if (own.length === 0) list.removeAttribute("role");
    return { first, pieces };
  });
  const stops = [
    effect(() => {
      const steps = stepsOf(chosen.value.masked.signed, state.scale.value);
      for (const { first, pieces } of parts) pieces.shade(steps.subarray(first));
    }),
    effect(() => {
      const choice = state.choice.value;
      for (const { first, pieces } of parts) pieces.mark(choice?.kind === "segment" ? [choice.index - first] : []);
    }),
    effect(() => {
      const segment = jump.value;
      if (segment === null || state.view.value !== "record") return;
      // The panel may only now become visible.
      queueMicrotask(() => {
        for (const { first, pieces } of parts) pieces.show(segment - first);
        jump.value = null;
      });
    }),
    foundRanges(viewer, ({ source, start, end }) => parts[loaded.sourceIndex.get(source ?? "") ?? -1]?.pieces.range(start, end) ?? null),
  ];
  return () => stops.forEach((stop) => stop());
}

/** The text of a source, and where its segments stand; of an image, a line for each region. */
function textOf({ loaded }: Viewer, source: number, first: number, own: readonly Segment[]): [DrawnText, Piece[]] {
  if (loaded.explanation.sources[source]!.text !== null) {
    return [loaded.texts[source]!, own.map(({ start, end }) => ({ start: start ?? 0, end: end ?? 0 }))];
  }
  const lines = own.map((_, at) => `${loaded.segmentText(first + at)}\n`);
  let at = 0;
  return [drawnText(lines.join("")), lines.map((line) => ({ start: at, end: (at += line.length) }))];
}

/** What is known of one passage, in a line. */
function reading({ loaded, state, chosen }: Viewer, segment: number): string {
  const { name, evidence, masked } = chosen.peek();
  const whole = state.renormalised.peek() ? "what is shown" : "the evidence";
  const own = evidence === null ? "" : score(evidence, segment, loaded.result(state.result.peek()).told.scores);
  return `${percent(masked.shares[segment]!)} of ${whole} for ${name}${own && `; score ${own}`}`;
}
