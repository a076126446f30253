// Heads: lines from queries to keys, by any set of heads of one layer.

import { visible } from "../../core/text.js";
import { BLOCKS, chosenOf, Pickers } from "../../ui/pickers.js";
import { useViewer } from "../../ui/viewer.js";
import { HeadsPicture } from "./picture.js";
import { Sample } from "./sample.js";
import { usePicture } from "./use_picture.js";

export function HeadsView() {
  const { loaded, state } = useViewer();
  const blocks = loaded.explanation.attention ?? [];
  const block = blocks[state.block.value] ?? blocks[0]!; // this view is there where attention was kept
  const layer = chosenOf(state.layers.value, block.layers.length)[0]!;
  const heads = chosenOf(state.heads.value, block.heads);
  const { picture, busy } = usePicture(loaded.attention(block), block.layers[layer]!, heads);
  return (
    <section class="heads" aria-label="Heads">
      <Pickers blocks={blocks} block={block} Sample={Sample} />
      <div aria-busy={busy} {...(blocks.length > 1 && { role: "tabpanel", "aria-label": BLOCKS[block.name] })}>
        {typeof picture === "string" ? (
          picture && <p class="warning">{visible(picture)}</p>
        ) : (
          <>
            {picture.missing > 0 && (
              <p class="warning">
                {picture.missing} of these heads cannot be shown. {visible(block.left_out ?? "")}
              </p>
            )}
            {picture.heads.length > 0 && <HeadsPicture key={`${block.name} ${state.merged.value}`} picture={picture} />}
          </>
        )}
      </div>
    </section>
  );
}
