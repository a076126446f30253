// Heatmap: all values at once. Targets x segments, tokens x tokens, or the queries and keys of attention.

import { useMemo } from "preact/hooks";
import type { Block } from "../../core/schema.js";
import { visible } from "../../core/text.js";
import words from "../../generated/words.json";
import { noun } from "../../ui/chosen.js";
import { PICTURES } from "../../ui/state.js";
import { useViewer } from "../../ui/viewer.js";
import { useMean } from "./attention.js";
import { attentionAxes, attentionHeat, detailHeat, type Options, scoresHeat } from "./heat.js";
import { Choice, chosenOf, Pickers } from "./pickers.js";
import { Heatmap } from "./plot.js";

const NAMES = ["Passages", "Tokens", "Attention"];

export function HeatmapView() {
  const { loaded, state } = useViewer();
  const blocks = loaded.explanation.attention ?? [];
  const block = blocks[state.block.value] ?? blocks[0];
  const picture = PICTURES.indexOf(state.picture.value);
  const there = [true, loaded.result(state.result.value).detail !== null, block !== undefined];
  return (
    <section class="heatmap" aria-label="Heatmap">
      <Choice
        name="Picture"
        labels={NAMES}
        chosen={(at) => at === picture}
        choose={(at) => (state.picture.value = PICTURES[at]!)}
        disabled={(at) => !there[at]}
      />
      {!there[picture] ? (
        <p class="quiet">This explanation holds no such values.</p>
      ) : picture < 2 ? (
        <Evidence key={picture} detail={picture === 1} />
      ) : (
        block !== undefined && <OfBlock key={block.name} blocks={blocks} block={block} />
      )}
    </section>
  );
}

function useOptions(): Options {
  const { maskSink, maskSpecial, merged, renormalised } = useViewer().state;
  const now = { maskSink: maskSink.value, maskSpecial: maskSpecial.value, merged: merged.value, renormalised: renormalised.value };
  return useMemo(() => now, Object.values(now));
}

/** Scores, or those of single tokens. */
function Evidence({ detail }: { detail: boolean }) {
  const { loaded, state } = useViewer();
  const options = useOptions();
  const result = state.result.value;
  const heat = useMemo(() => (detail ? detailHeat : scoresHeat)(loaded, result, options), [result, options]);
  if (heat === null) return null;
  const { method, scores } = loaded.result(result).told;
  const what = !detail ? `${noun(loaded)} by passage` : options.merged ? "word by word" : "token by token";
  // Where a method measures nothing outside the sources, nothing of it can be masked.
  const facts = scores.elsewhere === null ? { masked: "nothing" } : {};
  const shape = `${heat.rows.length} ${heat.columns.length}`;
  return <Heatmap key={shape} heat={heat} title={`${visible(method.name)}, ${what}`} facts={facts} ofScores={!detail} />;
}

function OfBlock({ blocks, block }: { blocks: readonly Block[]; block: Block }) {
  const { loaded, state, announce } = useViewer();
  const options = useOptions();
  const { mean, progress } = useMean(block);
  const axes = useMemo(() => attentionAxes(loaded, block, options), [options]);
  const matrix = mean?.matrix ?? null;
  const heat = useMemo(() => matrix && attentionHeat(loaded, block, axes, matrix, options), [matrix, axes]);
  const step = (key: string) => {
    const what = key === "[" || key === "]" ? "heads" : "layers";
    const by = { "[": -1, "]": 1, "{": -1, "}": 1 }[key];
    if (by === undefined) return false;
    const count = what === "heads" ? block.heads : block.layers.length;
    const now = chosenOf(state[what].value, count);
    const at = now.length === 1 ? (now[0]! + by + count) % count : 0;
    state[what].value = [at];
    announce(what === "heads" ? `Head ${at}` : `Layer ${block.layers[at]}`);
    return true;
  };
  // Attention is one thing, whatever method has been chosen for the scores.
  const facts = { method: "attention weights", evidence: words.evidence.descriptive, caveats: "Attention is where the model looked, not why it answered." };
  return (
    <>
      <Pickers blocks={blocks} block={block} />
      <p class="quiet">{progress || mean?.said}</p>
      {mean !== null && heat === null && <p class="quiet">These weights were not kept. {visible(block.left_out ?? "")}</p>}
      {heat !== null && mean !== null && (
        <Heatmap
          key={options.merged}
          heat={heat}
          title={`Attention of the ${block.name === "cross" ? "decoder on the encoder" : block.name}: ${mean.name}`}
          facts={facts}
          ofScores={false}
          onKey={step}
        />
      )}
    </>
  );
}
