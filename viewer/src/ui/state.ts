// What is being looked at, and how: signals that every view reads, and that the address keeps.

import { signal } from "@preact/signals-core";
import type { Scale } from "../core/scale.js";

export const VIEWS = ["record", "sources", "heatmap", "heads"] as const;
export type View = (typeof VIEWS)[number];

/** What is chosen: a target, a stretch of the output within a token-level detail, or a segment of a source. */
export type Choice =
  | { kind: "target"; index: number }
  | { kind: "stretch"; start: number; end: number }
  | { kind: "segment"; index: number }
  | null;

/** What the heatmap shows: the scores of the chosen result, its token detail, or attention. */
export const PICTURES = ["scores", "detail", "attention"] as const;
export type Picture = (typeof PICTURES)[number];

export function createState() {
  return {
    view: signal<View>("record"),
    result: signal(0),
    choice: signal<Choice>(null),
    scale: signal<Scale>("linear"),
    /** Leave the sink, and special tokens, out of the picture; how much they took is said. */
    maskSink: signal(true),
    maskSpecial: signal(true),
    /** Divide what is shown by its sum: labelled, for it hides how little it may be. */
    renormalised: signal(false),
    /** Show words and not the tokens that they are made of. */
    merged: signal(true),
    query: signal(""),
    /** Which of the matches of `query` is looked at. */
    match: signal(0),
    picture: signal<Picture>("scores"),
    block: signal(0),
    /** Indices into the block's layers, and its heads; empty stands for all. */
    layers: signal<readonly number[]>([0]),
    heads: signal<readonly number[]>([0]),
  };
}

export type State = ReturnType<typeof createState>;
