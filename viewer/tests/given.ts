// Small explanations, made by hand, whose every number can be checked by eye.

import { type Loaded, load } from "../src/core/model.js";
import type { AttentionToken, Elsewhere, Explanation, Result, Scores, Segment } from "../src/core/schema.js";

export const NO_ELSEWHERE: Elsewhere = {
  instruction: 0,
  template: 0,
  special: 0,
  sink: 0,
  output_so_far: 0,
  blank: 0,
  total: 0,
};

export function scores(values: number[][], more: Partial<Scores> = {}): Scores {
  return {
    values,
    unit: "nats",
    signed: true,
    elsewhere: null,
    stderr: null,
    noise_floor: null,
    unmeasured: [],
    ...more,
  };
}

export function attention(values: number[][], elsewhere: Partial<Elsewhere>[]): Scores {
  return scores(values, {
    unit: "attention_mass",
    signed: false,
    elsewhere: elsewhere.map((parts) => ({
      ...NO_ELSEWHERE,
      ...parts,
      total: Object.values(parts).reduce((sum, value) => sum + value, 0),
    })),
  });
}

export function result(own: Scores, more: Partial<Result> = {}): Result {
  const none = { k: [], values: null, unit: null, reason: "not asked for" };
  return {
    method: { name: "m", family: "logprob", evidence: "causal", access: "logprobs", parameters: {}, seed: null, fallbacks: [] },
    scores: own,
    confirmations: [],
    detail: null,
    fidelity: none,
    groundedness: none,
    caveats: ["a caveat"],
    ...more,
  };
}

export function segment(source: string, start: number, end: number, kind: Segment["kind"] = "sentence"): Segment {
  return { source, kind, start, end, box: null };
}

export interface Given {
  sources: Record<string, string>;
  segments: Segment[];
  output: string;
  targets: [number, number][];
  tokens?: [number, number][];
  results: Result[];
}

export function explanation({ sources, segments, output, targets, tokens, results }: Given): Explanation {
  return {
    schema_version: "1.0",
    id: "1",
    created_at: "2026-01-01T00:00:00Z",
    provider: "p",
    model: "m",
    revision: null,
    prompt: { instruction: "", messages: [] },
    sources: Object.entries(sources).map(([id, text]) => ({
      id,
      name: id,
      kind: "document",
      metadata: {},
      text,
      media_type: null,
      sha256: null,
    })),
    segments,
    output: {
      text: output,
      given: false,
      finish: "stop",
      targets: targets.map(([start, end]) => ({ start, end, kind: "sentence" })),
      tokens: tokens?.map(([start, end]) => ({ start, end, logprob_nats: null })) ?? null,
    },
    results,
    attention: null,
    cost: { calls: 1, input_tokens: null, output_tokens: null, seconds: 1 },
  };
}

export async function loaded(given: Given): Promise<Loaded> {
  return load({ explanation: explanation(given) });
}

export async function packed(rows: number[][]): Promise<{ shape: [number, number]; values: string }> {
  const bytes = new Blob([Float32Array.from(rows.flat())]).stream().pipeThrough(new CompressionStream("gzip"));
  const gzip = new Uint8Array(await new Response(bytes).arrayBuffer());
  return { shape: [rows.length, rows[0]?.length ?? 0], values: btoa(String.fromCharCode(...gzip)) };
}

export function token(text: string, more: Partial<AttentionToken> = {}): AttentionToken {
  return { text, part: "source", source: "s1", start: 0, end: 0, ...more };
}
