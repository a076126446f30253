// What the chosen part of the output rests on; where none is chosen, the mean over the whole output.

import type { Loaded } from "../core/model.js";
import { percent } from "../core/scale.js";
import { type Evidence, type MaskedShares, type Masking, meanOfParts, type Parts } from "../core/shares.js";
import { stretch } from "../core/stretch.js";
import { labelled } from "../core/text.js";
import type { ReadonlySignal } from "@preact/signals-core";
import { words } from "../core/wording.js";
import type { Choice, State } from "./state.js";
import type { Viewer } from "./viewer.js";

export interface Chosen {
  /** What it is called: `sentence 2`. */
  readonly name: string;
  /** Of one target, or of a stretch; null for the mean over all targets. */
  readonly evidence: Evidence | null;
  readonly masked: MaskedShares;
}

/** The mean over all targets, and what it is the mean of. */
export interface Whole extends Chosen {
  /** Targets x segments, as `masked.signed`. */
  readonly rows: Float32Array;
}

export function maskingOf(state: State): Masking {
  return {
    maskSink: state.maskSink.value,
    maskSpecial: state.maskSpecial.value,
    renormalised: state.renormalised.value,
  };
}

/** What the output's parts are called, one of them. */
export function noun(loaded: Loaded): string {
  return words.targets[loaded.targets[0]?.kind ?? "whole"];
}

export function targetName(loaded: Loaded, target: number): string {
  return loaded.targets[target]?.kind === "whole" ? "the output" : `${noun(loaded)} ${target + 1}`;
}

/** The target that is chosen, or that holds the beginning of what is. */
export function targetOf({ targets }: Loaded, choice: Exclude<Choice, null | { kind: "segment" }>): number {
  if (choice.kind === "target") return choice.index;
  return Math.max(0, targets.findIndex(({ end }) => choice.start < end));
}

export function chosenOf(loaded: Loaded, state: State, whole: ReadonlySignal<Whole>): Chosen {
  const choice = state.choice.value;
  const result = state.result.value;
  const of = (name: string, evidence: Evidence): Chosen => {
    return { name, evidence, masked: loaded.maskedShares(result, evidence, maskingOf(state)) };
  };
  if (choice === null || choice.kind === "segment") return whole.value;
  if (choice.kind === "stretch") {
    const { start, end } = choice;
    const own = stretch(loaded, result, start, end);
    if (own !== null) return of(`“${labelled(loaded.output.slice(start, end))}”`, own);
  }
  // Where this result kept no level of tokens, what holds a word is the nearest that it knows.
  const at = targetOf(loaded, choice);
  return of(targetName(loaded, at), loaded.evidence(result, at));
}

/** How much of what the chosen part rests on is in no passage, and where that is, or why nobody knows. */
export function elsewhereSaid({ loaded, state, chosen }: Viewer): [share: string, why: string] {
  const { elsewhere, parts } = chosen.value.masked;
  if (loaded.result(state.result.value).told.scores.elsewhere !== null) return [percent(elsewhere), partsSaid(parts)];
  if (elsewhere === 0) return ["–", ` (${words.elsewhere_unmeasured})`];
  return [percent(elsewhere), ` (${elsewhere < 1 ? words.elsewhere_some : words.elsewhere_all})`];
}

export function partsSaid(parts: Parts): string {
  const said = parts.map(([part, share]) => `${percent(share)} on ${words.parts[part]}`).join("; ");
  return said && ` (${said})`;
}

/** Choose, or choose nothing if it is chosen already, and tell. */
export function choose(viewer: Viewer, choice: Choice): void {
  const { loaded, state, chosen, announce } = viewer;
  const same = JSON.stringify(choice) === JSON.stringify(state.choice.peek());
  const now = (state.choice.value = same ? null : choice);
  const { name, masked } = chosen.value;
  if (now?.kind === "segment") {
    const source = loaded.sourceIndex.get(loaded.segments[now.index]?.source ?? "") ?? -1;
    announce(`Chosen: a passage of ${loaded.names[source]}`);
  } else {
    const best = masked.shares.reduce((most, share) => Math.max(most, share), 0);
    announce(`Chosen: ${name}. Its strongest passage has ${percent(best)}. Elsewhere: ${elsewhereSaid(viewer).join("")}.`);
  }
}

/** Look at what another method found. */
export function chooseResult({ loaded, state, announce }: Viewer, index: number): void {
  state.result.value = index;
  announce(`Method ${loaded.result(index).told.method.name}`);
}

/** Each target's share of one segment, below zero where it speaks against. */
export function sharesOfSegment(loaded: Loaded, { rows }: Whole, segment: number): Float64Array {
  return Float64Array.from(loaded.targets, (_, target) => rows[target * loaded.segments.length + segment] ?? 0);
}

/** What the whole output rests on: the mean over its targets. */
export function wholeOf(loaded: Loaded, state: State): Whole {
  const result = state.result.value;
  const masking = maskingOf(state);
  const count = loaded.targets.length;
  const width = loaded.segments.length;
  const rows = new Float32Array(count * width);
  const [shares, signed] = [new Float64Array(width), new Float64Array(width)];
  const all = loaded.targets.map((_, target) => loaded.maskedShares(result, target, masking));
  all.forEach((own, target) => {
    rows.set(own.signed, target * width);
    for (let at = 0; at < width; at++) {
      shares[at]! += own.shares[at]! / count;
      signed[at]! += own.signed[at]! / count;
    }
  });
  // A mean of shares and of what counts as none is no share: below zero stands only what counted nowhere.
  for (let at = 0; at < width; at++) if (shares[at]! > 0) signed[at] = shares[at]!;
  const mean = (of: "elsewhere" | "masked") => all.reduce((sum, own) => sum + own[of], 0) / count;
  const parts = (of: "parts" | "left") => meanOfParts(all.map((own) => own[of]));
  const masked = { shares, signed, elsewhere: mean("elsewhere"), parts: parts("parts"), masked: mean("masked"), left: parts("left") };
  const name = `the whole output${count > 1 ? ` (mean of its ${count} ${noun(loaded)}s)` : ""}`;
  return { name, evidence: null, masked, rows };
}
