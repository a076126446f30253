// Heatmap: all values at once. Targets x segments, tokens x tokens, or the queries and keys of attention.

import { useMemo } from "preact/hooks";
import { precisionOf } from "../../core/naming.js";
import type { Block } from "../../core/schema.js";
import { visible } from "../../core/text.js";
import { maskingOf, noun } from "../../ui/chosen.js";
import { PICTURES } from "../../ui/state.js";
import { BLOCKS, Choice, chosenOf, Pickers } from "../../ui/pickers.js";
import { useViewer } from "../../ui/viewer.js";
import { useMean } from "./attention.js";
import { attentionHeat, evidenceHeat, type Options } from "./heat.js";
import { Heatmap } from "./plot.js";

const NAMES = ["Passages", "Tokens", "Attention"];

export function HeatmapView() {
  const { loaded, state } = useViewer();
  const blocks = loaded.explanation.attention ?? [];
  const block = blocks[state.block.value] ?? blocks[0];
  const now = { ...maskingOf(state), merged: state.merged.value };
  const options = useMemo(() => now, Object.values(now));
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
        <Evidence options={options} key={picture} byToken={picture === 1} />
      ) : (
        block !== undefined && <OfBlock key={block.name} options={options} blocks={blocks} block={block} />
      )}
    </section>
  );
}

/** Scores, or those of single tokens. */
function Evidence({ options, byToken }: { options: Options; byToken: boolean }) {
  const { loaded, state } = useViewer();
  const result = state.result.value;
  const heat = useMemo(() => evidenceHeat(loaded, result, options, byToken), [result, options]);
  if (heat === null) return null;
  const { method } = loaded.result(result).told;
  const what = !byToken ? `${noun(loaded)} by passage` : options.merged ? "word by word" : "token by token";
  const shape = `${heat.rows.length} ${heat.columns.length}`;
  return <Heatmap key={shape} heat={heat} title={`${visible(method.name)}, ${what}`} ofScores={!byToken} />;
}

function OfBlock({ options, blocks, block }: { options: Options; blocks: readonly Block[]; block: Block }) {
  const { loaded, state, announce } = useViewer();
  const { mean, said } = useMean(block);
  const heat = useMemo(() => mean?.matrix && attentionHeat(loaded, block, mean.matrix, options), [mean, options]);
  const step = (key: string) => {
    const sign = ["[", "]", "{", "}"].indexOf(key);
    if (sign < 0) return false;
    const what = sign < 2 ? "heads" : "layers";
    const count = what === "heads" ? block.heads : block.layers.length;
    const now = chosenOf(state[what].value, count);
    const at = now.length === 1 ? (now[0]! + (sign % 2 ? 1 : count - 1)) % count : 0;
    state[what].value = [at];
    announce(what === "heads" ? `Head ${at}` : `Layer ${block.layers[at]}`);
    return true;
  };
  return (
    <>
      <Pickers blocks={blocks} block={block} />
      <div {...(blocks.length > 1 && { role: "tabpanel", "aria-label": BLOCKS[block.name] })}>
        <p class="quiet">{said}</p>
        {mean && heat && (
          <Heatmap
            key={options.merged}
            heat={heat}
            title={`Attention of the ${block.name === "cross" ? "decoder on the encoder" : block.name}: ${mean.name}`}
            facts={{ precision: precisionOf(block) }}
            ofScores={false}
            onKey={step}
          />
        )}
      </div>
    </>
  );
}
