// Which attention is seen: a block, and any of its layers and heads.

import { useSignal } from "@preact/signals";
import type { Block, BlockName } from "../../core/schema.js";
import { useViewer } from "../../ui/viewer.js";

const BLOCKS: Record<BlockName, string> = {
  encoder: "Encoder",
  decoder: "Decoder",
  cross: "Decoder on encoder",
};

export function Pickers({ blocks, block }: { blocks: readonly Block[]; block: Block }) {
  const { state } = useViewer();
  const several = useSignal(false);
  return (
    <div class="pickers">
      {blocks.length > 1 && (
        <div role="group" aria-label="Attention of">
          {blocks.map((own, at) => (
            <button type="button" key={own.name} aria-pressed={own === block} onClick={() => (state.block.value = at)}>
              {BLOCKS[own.name]}
            </button>
          ))}
        </div>
      )}
      <Picker name="Layers" of="layers" labels={block.layers} several={several.value} />
      <Picker name="Heads" of="heads" labels={Array.from({ length: block.heads }, (_, at) => at)} several={several.value} />
      <label class="several">
        <input type="checkbox" checked={several.value} onChange={() => (several.value = !several.value)} /> choose several
      </label>
    </div>
  );
}

interface PickerProps {
  name: string;
  of: "layers" | "heads";
  labels: readonly number[];
  several: boolean;
}

function Picker({ name, of, labels, several }: PickerProps) {
  const { state } = useViewer();
  const chosen = chosenOf(state[of].value, labels.length);
  const choose = (at: number, event: MouseEvent) => {
    const adds = several || event.ctrlKey || event.metaKey || event.shiftKey;
    if (!adds) state[of].value = [at];
    else {
      const next = chosen.includes(at) ? chosen.filter((own) => own !== at) : [...chosen, at].sort((a, b) => a - b);
      state[of].value = next.length === labels.length ? [] : next.length === 0 ? NONE : next;
    }
  };
  return (
    <div role="group" aria-label={name}>
      <span class="quiet">{name}</span>
      <button type="button" aria-pressed={chosen.length === labels.length} onClick={() => (state[of].value = [])}>
        all
      </button>
      <button type="button" aria-pressed={chosen.length === 0} onClick={() => (state[of].value = NONE)}>
        none
      </button>
      {labels.map((label, at) => (
        <button type="button" class="number" key={label} aria-pressed={chosen.includes(at)} onClick={(event) => choose(at, event)}>
          {label}
        </button>
      ))}
    </div>
  );
}

/** No index at all, where an empty list stands for every one: one that none has. */
const NONE: readonly number[] = [9_999];

/** The indices that a list of the state stands for. */
export function chosenOf(list: readonly number[], count: number): number[] {
  if (list.length === 0) return Array.from({ length: count }, (_, at) => at);
  return list.filter((at) => at < count);
}
