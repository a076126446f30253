// The JSON of an explanation, as whence writes it (schema_version 1.0). Offsets are Unicode code points, end
// exclusive. Fields that the viewer does not read are left out.

export type Evidence = "descriptive" | "sensitivity" | "causal" | "self_reported";
export type Family = "native_attention" | "gradient" | "logprob" | "perturbation" | "citation";
export type Unit = "attention_mass" | "nats" | "similarity" | "relevance" | "claim";
export type TargetKind = "token" | "word" | "sentence" | "whole";
export type ElsewherePart = "instruction" | "template" | "special" | "sink" | "output_so_far" | "blank";
export type Elsewhere = Record<ElsewherePart | "total", number>;
export type BlockName = "encoder" | "decoder" | "cross";

/** A matrix of little-endian float32, row by row, gzip, base64. */
export interface Packed {
  shape: [number, number];
  values: string;
}

export interface Source {
  id: string;
  name: string;
  kind: "document" | "message" | "image";
  metadata: Record<string, string>;
  text: string | null;
  media_type: string | null;
  sha256: string | null;
}

export interface Segment {
  source: string;
  kind: "token" | "word" | "sentence" | "paragraph" | "source" | "region";
  start: number | null;
  end: number | null;
  box: [number, number, number, number] | null;
}

export interface Output {
  text: string;
  given: boolean;
  finish: "stop" | "length" | null;
  targets: { start: number; end: number; kind: TargetKind }[];
  tokens: { start: number; end: number; logprob_nats: number | null }[] | null;
}

export interface Method {
  name: string;
  family: Family;
  evidence: Evidence;
  access: "weights" | "logprobs" | "text";
  parameters: Record<string, unknown>;
  seed: number | null;
  fallbacks: { method: string; reason: string }[];
}

export interface Scores {
  /** targets x segments; packed where they are many. */
  values: number[][] | Packed;
  unit: Unit;
  signed: boolean;
  elsewhere: Elsewhere[] | null;
  stderr: number[][] | Packed | null;
  noise_floor: number | null;
  unmeasured: [number, number][];
}

export interface Detail extends Packed {
  /** Source id, start, end of each column; the rows are the output's tokens. */
  tokens: [string, number, number][];
  elsewhere: Elsewhere[];
}

export interface Measure {
  k: number[];
  values: number[][] | null;
  unit: string | null;
  reason: string | null;
}

export interface Result {
  method: Method;
  scores: Scores;
  confirmations: { target: number; segment: number; effect: number; confirmed: boolean }[];
  detail: Detail | null;
  fidelity: Measure;
  groundedness: Measure;
  caveats: string[];
}

export interface AttentionToken {
  text: string;
  part: "source" | "instruction" | "template" | "special" | "sink" | "output";
  source: string | null;
  start: number;
  end: number;
}

export interface Head {
  layer: number;
  head: number;
  /** Base64 of gzip of queries x keys codes; null where it is fetched, or was left out. */
  values: string | null;
  row_sums: string | null;
}

export interface Block {
  name: BlockName;
  layers: number[];
  heads: number;
  encoding: "u8_log" | "float16";
  precision: { floor: number; relative_error: number; absolute_error: number };
  queries: AttentionToken[];
  positions: number[];
  keys: AttentionToken[];
  explaining: number[];
  data: Head[];
  left_out: string | null;
}

export interface Explanation {
  schema_version: string;
  id: string;
  created_at: string;
  provider: string;
  model: string;
  revision: string | null;
  prompt: { instruction: string; messages: { role: string; content: (string | { source: string })[] }[] };
  sources: Source[];
  segments: Segment[];
  output: Output;
  results: Result[];
  attention: Block[] | null;
  cost: { calls: number; input_tokens: number | null; output_tokens: number | null; seconds: number };
}

/** What the LangChain handler's report tells of the documents that were retrieved (its schema 1.0). */
export interface Retrieval {
  chunks: {
    name: string;
    text: string;
    metadata: Record<string, string>;
    rank: number;
    retrieval_score: number | null;
    in_prompt: boolean | null;
    coverage: number;
    passages: { source: string; start: number; end: number; text: string; share: number }[];
    share: number | null;
    used: boolean | null;
    claimed: boolean | null;
  }[];
}
