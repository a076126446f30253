// The sources in full, each passage shaded by its share.

import { effect } from "@preact/signals-core";
import { useEffect, useRef } from "preact/hooks";
import { score } from "../../core/describe.js";
import { percent } from "../../core/scale.js";
import type { Source } from "../../core/schema.js";
import { DrawnText, visible } from "../../core/text.js";
import { choose } from "../../ui/chosen.js";
import { foundRanges } from "../../ui/highlight.js";
import { useViewer, type Viewer } from "../../ui/viewer.js";
import { Pieces } from "./pieces.js";
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

/** One source's part of the segments, and its text; an image's regions stand in lines. */
interface Part {
  readonly first: number;
  readonly count: number;
  readonly pieces: Pieces;
}

/** Draw the sources, and follow the state. The answer ends this. */
function show(viewer: Viewer, place: HTMLElement, read: (text: string) => void): () => void {
  const { loaded, state, chosen, jump } = viewer;
  const parts: Part[] = [];
  let first = 0;
  place.querySelectorAll<HTMLElement>("[role=listbox]").forEach((list, at) => {
    let end = first;
    while (end < loaded.segments.length && loaded.sourceIndex.get(loaded.segments[end]?.source ?? "") === at) end++;
    const from = first;
    const [drawn, spans] = textOf(viewer, at, from, end);
    const pieces = new Pieces(list, drawn, spans, {
      choose: (piece) => choose(viewer, { kind: "segment", index: from + piece }),
      read: (piece) => read(piece === null ? "" : reading(viewer, from + piece)),
    });
    // A source in which nothing receives credit is a text and no list.
    if (end === from) list.removeAttribute("role");
    parts.push({ first: from, count: end - from, pieces });
    first = end;
  });
  const stops = [
    effect(() => {
      const steps = stepsOf(chosen.value.masked.signed, state.scale.value);
      for (const part of parts) part.pieces.shade(steps.subarray(part.first, part.first + part.count));
    }),
    effect(() => {
      const choice = state.choice.value;
      const own = choice?.kind === "segment" ? choice.index : -1;
      for (const { pieces, first, count } of parts) pieces.mark(own >= first && own < first + count ? [own - first] : []);
    }),
    effect(() => {
      const segment = jump.value;
      if (segment === null || state.view.value !== "record") return;
      // The panel may only now become visible.
      queueMicrotask(() => {
        for (const { pieces, first, count } of parts) {
          if (segment >= first && segment < first + count) pieces.show(segment - first);
        }
        jump.value = null;
      });
    }),
    foundRanges(viewer, ({ source, start, end }) => {
      const own = source === null || loaded.explanation.sources[source]?.text === null ? undefined : parts[source];
      return own?.pieces.range(start, end) ?? null;
    }),
  ];
  return () => stops.forEach((stop) => stop());
}

function textOf({ loaded }: Viewer, source: number, first: number, end: number): [DrawnText, { start: number; end: number }[]] {
  const own = loaded.segments.slice(first, end);
  const text = loaded.texts[source];
  if (text !== undefined && loaded.explanation.sources[source]?.text !== null) {
    return [text, own.map((segment) => ({ start: segment.start ?? 0, end: segment.end ?? 0 }))];
  }
  const lines = own.map((_, at) => `${loaded.segmentText(first + at)}\n`);
  let at = 0;
  return [new DrawnText(lines.join("")), lines.map((line) => ({ start: at, end: (at += line.length) }))];
}

/** What is known of one passage, in a line. */
function reading({ loaded, state, chosen }: Viewer, segment: number): string {
  const { name, evidence, masked } = chosen.peek();
  const whole = state.renormalised.peek() ? "what is shown" : "the evidence";
  const own = evidence === null ? "" : score(evidence, segment, loaded.result(state.result.peek()).told.scores);
  return `${percent(masked.shares[segment] ?? 0)} of ${whole} for ${name}${own && `; score ${own}`}`;
}
