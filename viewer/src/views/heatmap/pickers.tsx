// Buttons of which one is chosen, or several.

import type { Block } from "../../core/schema.js";
import { useSignal } from "../../ui/draw.js";
import { useViewer } from "../../ui/viewer.js";

interface ChoiceProps {
  name: string;
  labels: readonly (string | number)[];
  chosen: (at: number) => boolean;
  choose: (at: number, event: MouseEvent) => void;
  disabled?: (at: number) => boolean;
}

export function Choice({ name, labels, chosen, choose, disabled }: ChoiceProps) {
  return (
    <div role="group" aria-label={name}>
      <span class="quiet">{name}</span>
      {labels.map((label, at) => (
        <button type="button" aria-pressed={chosen(at)} disabled={disabled?.(at) ?? false} onClick={(event) => choose(at, event)}>
          {label}
        </button>
      ))}
    </div>
  );
}

const BLOCKS = { encoder: "Encoder", decoder: "Decoder", cross: "Decoder on encoder" };

/** Which attention is seen: a block, and any of its layers and heads. */
export function Pickers({ blocks, block }: { blocks: readonly Block[]; block: Block }) {
  const { state } = useViewer();
  const several = useSignal(false);
  const picker = (name: string, of: "layers" | "heads", labels: readonly number[]) => {
    const list = chosenOf(state[of].value, labels.length);
    const choose = (at: number, event: MouseEvent) => {
      if (at === labels.length) state[of].value = [];
      else if (!several.value && !event.ctrlKey && !event.metaKey) state[of].value = [at];
      else state[of].value = labels.map((_, own) => own).filter((own) => list.includes(own) !== (own === at));
    };
    const chosen = (at: number) => (at === labels.length ? list.length === at : list.includes(at));
    return <Choice name={name} labels={[...labels, "all"]} chosen={chosen} choose={choose} />;
  };
  return (
    <div class="pickers">
      {blocks.length > 1 && (
        <Choice
          name="Attention"
          labels={blocks.map(({ name }) => BLOCKS[name])}
          chosen={(at) => blocks[at] === block}
          choose={(at) => (state.block.value = at)}
        />
      )}
      {picker("Layers", "layers", block.layers)}
      {picker("Heads", "heads", Array.from({ length: block.heads }, (_, at) => at))}
      <label>
        <input type="checkbox" checked={several.value} onChange={() => (several.value = !several.value)} /> choose several
      </label>
    </div>
  );
}

/** The indices that a list of the state stands for: where it is empty, all. */
export function chosenOf(list: readonly number[], count: number): number[] {
  const all = Array.from({ length: count }, (_, at) => at);
  return list.length === 0 ? all : all.filter((at) => list.includes(at));
}
