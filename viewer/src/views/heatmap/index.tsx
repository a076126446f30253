// Heatmap: all values at once. Targets x segments, tokens x tokens, or the queries and keys of attention.

import { useSignal } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";
import type { Loaded } from "../../core/model.js";
import type { Block } from "../../core/schema.js";
import { visible } from "../../core/text.js";
import words from "../../generated/words.json";
import { noun } from "../../ui/chosen.js";
import { useExporter } from "../../ui/export.js";
import type { Facts } from "../../ui/export/facts.js";
import type { Picture } from "../../ui/state.js";
import { useViewer } from "../../ui/viewer.js";
import { type Running, useChosen, useMean } from "./attention.js";
import { type Camera, whole } from "./camera.js";
import { scaled, type View } from "./draw.js";
import { heatExporter } from "./exporter.js";
import { attentionAxes, attentionHeat, detailHeat, type Heat, type Options, scoresHeat, thumbnailHeat } from "./heat.js";
import { choiceOfRow, marksOf, marksOfFound } from "./marks.js";
import { chosenOf, Pickers } from "./pickers.js";
import { type Cell, Plot } from "./plot.js";
import { Readout, told } from "./readout.js";
import { Table } from "./table.js";

const PICTURES: Record<Picture, string> = {
  scores: "Passages",
  detail: "Tokens",
  attention: "Attention",
};

export function HeatmapView() {
  const { loaded, state } = useViewer();
  const result = state.result.value;
  const blocks = loaded.explanation.attention ?? [];
  const there: Record<Picture, boolean> = {
    scores: true,
    detail: loaded.results[result]?.detail != null,
    attention: blocks.length > 0,
  };
  const picture = state.picture.value;
  const block = blocks[state.block.value] ?? blocks[0];
  return (
    <section class="heatmap" aria-label="Heatmap">
      <div role="group" aria-label="Picture">
        {(Object.keys(PICTURES) as Picture[]).map((own) => (
          <button type="button" key={own} aria-pressed={own === picture} disabled={!there[own]} onClick={() => (state.picture.value = own)}>
            {PICTURES[own]}
          </button>
        ))}
      </div>
      {picture === "scores" && <Scores result={result} />}
      {picture === "detail" && <Detail result={result} />}
      {picture === "attention" && block !== undefined && <OfBlock key={block.name} blocks={blocks} block={block} />}
      {!there[picture] && <p class="quiet">{picture === "detail" ? NO_DETAIL : NO_ATTENTION}</p>}
    </section>
  );
}

const NO_DETAIL = "This method kept no values of single tokens.";
const NO_ATTENTION = "This explanation holds no attention of single heads.";

function useOptions(): Options {
  const { maskSink, maskSpecial, merged, renormalised } = useViewer().state;
  const now = { maskSink: maskSink.value, maskSpecial: maskSpecial.value, merged: merged.value, renormalised: renormalised.value };
  return useMemo(() => now, Object.values(now));
}

function Scores({ result }: { result: number }) {
  const { loaded } = useViewer();
  const options = useOptions();
  const heat = useMemo(() => scoresHeat(loaded, result, options), [loaded, result, options]);
  return <Heatmap heat={heat} picture="scores" block={null} title={titleOf(loaded.result(result).told.method.name, `${noun(loaded)} by passage`)} facts={factsOf(loaded, result)} />;
}

function Detail({ result }: { result: number }) {
  const { loaded } = useViewer();
  const options = useOptions();
  const heat = useMemo(() => detailHeat(loaded, result, options), [loaded, result, options]);
  if (heat === null) return null;
  const title = titleOf(loaded.result(result).told.method.name, options.merged ? "word by word" : "token by token");
  return <Heatmap heat={heat} picture="detail" block={null} title={title} facts={factsOf(loaded, result)} />;
}

/** Where a method measures nothing outside the sources, nothing of it can be masked. */
function factsOf(loaded: Loaded, result: number): Facts {
  return loaded.result(result).told.scores.elsewhere === null ? { masked: "nothing" } : {};
}

function titleOf(method: string, what: string): string {
  return `${visible(method)}, ${what}`;
}

/** Attention is one thing, whatever method has been chosen for the scores. */
const OF_ATTENTION: Facts = {
  method: "attention weights",
  evidence: words.evidence.descriptive,
  caveats: "Attention is where the model looked, not why it answered.",
};

function OfBlock({ blocks, block }: { blocks: readonly Block[]; block: Block }) {
  const { loaded } = useViewer();
  const options = useOptions();
  const chosen = useChosen(block);
  const running = useMean(chosen);
  const { progress } = running;
  const axes = useMemo(() => attentionAxes(loaded, block, options), [loaded, block, options]);
  const heat = useMemo(() => {
    if (progress?.matrix) return attentionHeat(block, axes, progress.matrix, options);
    const [only, second] = chosen.places;
    if (progress === null || only === undefined || second !== undefined) return null;
    const thumbnail = chosen.attention.thumbnail(only.layer, only.head);
    return thumbnail === null ? null : thumbnailHeat(block, thumbnail);
  }, [block, axes, progress, options, chosen]);
  const title = `Attention of the ${block.name === "cross" ? "decoder on the encoder" : block.name}: ${chosen.name}`;
  return (
    <>
      <Pickers blocks={blocks} block={block} />
      <Steps running={running} />
      {chosen.places.length === 0 && <p class="quiet">Choose at least one layer and one head.</p>}
      {chosen.places.length > 0 && heat === null && progress !== null && (
        <p class="quiet">The weights of this attention are not here. {visible(block.left_out ?? "")}</p>
      )}
      {chosen.places.length > 0 && heat !== null && (
        <Heatmap heat={heat} picture="attention" block={block} title={title} facts={OF_ATTENTION} />
      )}
    </>
  );
}

/** How far the mean has come, and of how many heads it is one. */
function Steps({ running: { progress, running, error, stop } }: { running: Running }) {
  if (error !== "") return <p class="wrong">This attention cannot be shown: {visible(error)}.</p>;
  if (progress === null || progress.of < 2) return null;
  const { done, of, missing } = progress;
  return (
    <p class="steps">
      {running && <progress value={done + missing} max={of} aria-label="Heads added up" />}
      <span>
        {done + missing < of ? `Mean over the first ${done} of ${of} heads${running ? " so far" : ": stopped"}` : `Mean over ${done} heads`}
        {missing > 0 && `; the values of ${missing} were left out`}.
      </span>
      {running && (
        <button type="button" onClick={stop}>
          Stop
        </button>
      )}
    </p>
  );
}

interface HeatmapProps {
  heat: Heat;
  picture: Picture;
  block: Block | null;
  title: string;
  facts: Facts;
}

function Heatmap({ heat, picture, block, title, facts }: HeatmapProps) {
  const viewer = useViewer();
  const { loaded, state, announce } = viewer;
  const scale = state.scale.value;
  const shades = useMemo(() => scaled(heat.shown.values, scale), [heat, scale]);
  const [rows, columns] = [heat.rows.length, heat.columns.length];
  const camera = useSignal<Camera>(whole(rows, columns));
  const cell = useSignal<Cell | null>(null);
  const shape = useRef("");
  // Another head keeps the place that is looked at, another shape begins anew.
  if (shape.current !== `${picture} ${rows} ${columns}`) {
    shape.current = `${picture} ${rows} ${columns}`;
    camera.value = whole(rows, columns);
    cell.value = null;
  }
  const table = useSignal(false);
  const size = useRef({ width: 900, height: 600 });
  const choice = state.choice.value;
  const marks = useMemo(() => marksOf(loaded, heat, choice, block), [loaded, heat, choice, block]);
  const places = viewer.found.value;
  const found = useMemo(() => marksOfFound(loaded, heat, places), [loaded, heat, places]);
  const view = (): View => ({ heat, scaled: shades, camera: camera.peek(), marks, found, ...size.current, ratio: 1 });
  useExporter(heatExporter(viewer, title, facts, view));

  const choose = ({ row, column }: Cell, what: "row" | "column") => {
    if (what === "column") {
      if (picture !== "scores") return;
      state.choice.value = { kind: "segment", index: column };
      announce(`Chosen: passage ${heat.columns[column]?.label ?? ""}`);
      return;
    }
    const next = choiceOfRow(loaded, heat, row, picture, block);
    if (next === null) announce("This row stands for no part of the output.");
    else {
      state.choice.value = next;
      announce(`Chosen: ${next.kind === "stretch" ? loaded.output.slice(next.start, next.end) : (heat.rows[row]?.label ?? "")}`);
    }
  };
  const step = (what: "layers" | "heads", by: 1 | -1) => {
    if (block === null) return;
    const count = what === "layers" ? block.layers.length : block.heads;
    const now = chosenOf(state[what].value, count);
    const at = now.length === 1 ? ((now[0] ?? 0) + by + count) % count : by > 0 ? 0 : count - 1;
    state[what].value = [at];
    announce(`${what === "layers" ? `Layer ${block.layers[at]}` : `Head ${at}`}`);
  };
  return (
    <>
      <div class="line">
        <h2 dir="auto">{title}</h2>
        <p class="quiet">
          {rows.toLocaleString("en")} rows × {columns.toLocaleString("en")} columns; unit: {heat.shownUnit}
        </p>
      </div>
      {heat.notes.map((note) => (
        <p class="note" key={note}>{visible(note)}</p>
      ))}
      <Plot
        heat={heat}
        scaled={shades}
        marks={marks}
        found={found}
        camera={camera}
        cell={cell}
        onLook={(at) => announce(told(heat, at))}
        onChoose={choose}
        onStep={step}
        onSize={(width, height) => (size.current = { width, height })}
        label={`${title}: ${rows} rows, ${columns} columns`}
      >
        <button type="button" aria-expanded={table.value} onClick={() => (table.value = !table.value)}>
          As a table
        </button>
        <Readout heat={heat} cell={cell} />
      </Plot>
      <p class="note hint">
        Arrow keys: from cell to cell; with shift: move the picture. + and −: zoom; 0: show all. Enter: choose the row
        {picture === "scores" ? "; shift and Enter: the passage" : ""}
        {picture === "attention" ? ". [ and ]: another head; with shift: another layer" : ""}.
      </p>
      {table.value && <Table heat={heat} cell={cell} />}
    </>
  );
}
