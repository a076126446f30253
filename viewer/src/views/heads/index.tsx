// Heads: lines from queries to keys, by any set of heads of one layer.

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { Attention } from "../../core/attention.js";
import { useViewer } from "../../ui/viewer.js";
import { chosenOf } from "../heatmap/pickers.js";
import { HeadPicker, Layers, Tabs } from "./picker.js";
import { HeadsPicture } from "./picture.js";
import { headsSaid } from "./said.js";

/** No head at all, where an empty list stands for every one: an index that none has. */
const NONE: readonly number[] = [9_999];

export function HeadsView() {
  const { loaded, state, announce } = useViewer();
  const peek = useSignal<number | null>(null);
  const blocks = loaded.explanation.attention ?? [];
  const attentions = useMemo(() => blocks.map((block) => new Attention(block, loaded.fetchHead)), [loaded]);
  const at = Math.min(state.block.value, attentions.length - 1);
  const attention = attentions[at];
  const heads = useMemo(
    () => chosenOf(state.heads.value, attention?.block.heads ?? 0),
    [state.heads.value, attention],
  );
  if (attention === undefined) return null;
  const { block } = attention;
  const layer = Math.min(state.layers.value[0] ?? 0, block.layers.length - 1);
  const show = (chosen: readonly number[]) => {
    state.heads.value = chosen.length === block.heads ? [] : chosen.length === 0 ? NONE : chosen;
    announce(`Shown: ${headsSaid(chosen)}`);
  };
  return (
    <section class="heads" aria-label="Heads">
      {blocks.length > 1 && <Tabs blocks={blocks} chosen={at} onChoose={(to) => (state.block.value = to)} />}
      <div id="heads-panel" {...(blocks.length > 1 && { role: "tabpanel", "aria-labelledby": `heads-tab-${block.name}` })}>
        <Layers layers={block.layers} chosen={layer} onChoose={(to) => (state.layers.value = [to])} />
        <HeadPicker count={block.heads} shown={heads} onShow={show} onPeek={(head) => (peek.value = head)} />
        <HeadsPicture key={block.name} attention={attention} layer={block.layers[layer] ?? 0} heads={heads} peek={peek} />
      </div>
    </section>
  );
}
