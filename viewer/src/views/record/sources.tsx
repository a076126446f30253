// The sources in full, each passage shaded by its share.

import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import words from "../../generated/words.json";
import { counted } from "../../core/describe.js";
import { percent, quantity } from "../../core/scale.js";
import type { Source } from "../../core/schema.js";
import { DrawnText, visible } from "../../core/text.js";
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

/** Facts of a source that are more than a line or two are shown when they are asked for. */
const SHORT = 160;

function About({ source }: { source: Source }) {
  const facts = Object.entries(source.metadata).map(([name, value]) => [visible(name), visible(value)] as const);
  const list = (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div>
          <dt>
            <bdi>{name}</bdi>
          </dt>
          <dd>
            <bdi>{value}</bdi>
          </dd>
        </div>
      ))}
    </dl>
  );
  return (
    <>
      {facts.length > 0 &&
        (facts.flat().join("").length <= SHORT ? (
          list
        ) : (
          <details>
            <summary>{counted(facts.length, "fact")} told of it</summary>
            {list}
          </details>
        ))}
      {source.text === null && (
        <p class="quiet">
          An image, not shown here: <bdi>{visible(source.media_type ?? "")}</bdi>, SHA-256{" "}
          <bdi>{visible(source.sha256 ?? "")}</bdi>. Its regions:
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
  const { loaded, state, chosen, announce, jump } = viewer;
  const parts: Part[] = [];
  let first = 0;
  place.querySelectorAll<HTMLElement>("[role=listbox]").forEach((list, at) => {
    let end = first;
    while (end < loaded.segments.length && loaded.sourceIndex.get(loaded.segments[end]?.source ?? "") === at) end++;
    const from = first;
    const [drawn, spans] = textOf(viewer, at, from, end);
    const pieces = new Pieces(list, drawn, spans, {
      choose(piece) {
        const index = from + piece;
        const choice = state.choice.peek();
        const same = choice?.kind === "segment" && choice.index === index;
        state.choice.value = same ? null : { kind: "segment", index };
        announce(same ? "Nothing is chosen: the whole output" : `Chosen: a passage of ${loaded.names[at] ?? ""}`);
      },
      read: (piece) => read(piece === null ? "" : reading(viewer, from + piece)),
    });
    // A source in which nothing receives credit is a text and no list.
    if (end === from) list.removeAttribute("role");
    parts.push({ first: from, count: end - from, pieces });
    first = end;
  });
  const holding = (segment: number) => parts.find((part) => segment >= part.first && segment < part.first + part.count);
  const stops = [
    effect(() => {
      const steps = stepsOf(chosen.value.signed, state.scale.value);
      for (const part of parts) part.pieces.shade(steps.subarray(part.first, part.first + part.count));
    }),
    effect(() => {
      const choice = state.choice.value;
      const own = choice?.kind === "segment" ? choice.index : -1;
      for (const part of parts) part.pieces.mark(own >= part.first && own < part.first + part.count ? [own - part.first] : []);
    }),
    effect(() => {
      const segment = jump.value;
      if (segment === null || state.view.value !== "record") return;
      const part = holding(segment);
      // The panel may only now become visible.
      queueMicrotask(() => {
        part?.pieces.show(segment - part.first, true);
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
  const { scores } = loaded.result(state.result.peek()).told;
  const share = `${percent(masked.shares[segment] ?? 0)} of ${state.renormalised.peek() ? "what is shown" : "the evidence"} for ${name}`;
  if (evidence === null) return share;
  const error = evidence.stderr?.[segment];
  const spread = error ? ` ± ${quantity(error)}` : "";
  return `${share}; score ${quantity(evidence.row[segment] ?? 0)}${spread} ${words.units[scores.unit]}`;
}
