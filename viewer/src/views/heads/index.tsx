// Heads: lines from queries to keys, by any set of heads of one layer.

import { useMemo } from "preact/hooks";
import { visible } from "../../core/text.js";
import { useViewer } from "../../ui/viewer.js";
import { chosenOf } from "../heatmap/pickers.js";
import { HeadPicker, Layers, Tabs } from "./picker.js";
import { HeadsPicture } from "./picture.js";
import { headsSaid } from "./said.js";
import { usePicture } from "./use_picture.js";

/** No head at all, where an empty list stands for every one: an index that none has. */
const NONE = [9_999];

export function HeadsView() {
  const { loaded, state, announce } = useViewer();
  const blocks = loaded.explanation.attention ?? [];
  const at = Math.min(state.block.value, blocks.length - 1);
  const block = blocks[at]!; // this view is there where attention was kept
  const attention = loaded.attention(block);
  const heads = useMemo(() => chosenOf(state.heads.value, block.heads), [state.heads.value, block]);
  const layer = Math.min(state.layers.value[0] ?? 0, block.layers.length - 1);
  const { picture, error } = usePicture(attention, block.layers[layer] ?? 0, heads);
  const missing = picture === null ? 0 : picture.asked - picture.heads.length;
  const show = (chosen: readonly number[]) => {
    state.heads.value = chosen.length === block.heads ? [] : chosen.length === 0 ? NONE : chosen;
    announce(`Shown: ${headsSaid(chosen)}`);
  };
  const several = blocks.length > 1;
  return (
    <section class="heads" aria-label="Heads">
      {several && <Tabs of={blocks} chosen={at} onChoose={(to) => (state.block.value = to)} />}
      <div id="heads-panel" {...(several && { role: "tabpanel", "aria-labelledby": `heads-${block.name}` })}>
        <Layers of={block.layers} chosen={layer} onChoose={(to) => (state.layers.value = [to])} />
        <HeadPicker count={block.heads} shown={heads} onShow={show} />
        {error !== "" && <p class="warning">This layer cannot be shown: {visible(error)}.</p>}
        {missing > 0 && (
          <p class="warning">
            {missing} of these heads cannot be shown. {visible(block.left_out ?? "")}
          </p>
        )}
        {picture !== null && <HeadsPicture key={picture.axes as unknown as string} picture={picture} />}
      </div>
    </section>
  );
}
