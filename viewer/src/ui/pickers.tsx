// Buttons of which one is chosen, or several.

import type { ComponentChild } from "preact";
import type { Block } from "../core/schema.js";
import { useSignal } from "./draw.js";
import { useViewer } from "./viewer.js";

interface ChoiceProps {
  name: string;
  labels: readonly ComponentChild[];
  chosen: (at: number) => boolean;
  choose: (at: number, event: MouseEvent) => void;
  disabled?: (at: number) => boolean;
  tabs?: boolean;
}

export function Choice({ name, labels, chosen, choose, disabled, tabs }: ChoiceProps) {
  return (
    <div role={tabs ? "tablist" : "group"} aria-label={name} onKeyDown={walk}>
      <span class="quiet">{name}</span>
      {labels.map((label, at) => (
        <button
          {...(tabs ? { role: "tab", "aria-selected": chosen(at) } : { "aria-pressed": chosen(at) })}
          disabled={disabled?.(at)}
          onClick={(event) => choose(at, event)}
        >
          {label}
        </button>
      ))}
    </div>
  );
}

/** Arrow keys go from button to button, round the end. */
export function walk(event: KeyboardEvent): void {
  const buttons = [...(event.currentTarget as Element).querySelectorAll<HTMLElement>(":enabled")];
  const at = buttons.indexOf(event.target as HTMLElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  buttons.at(to % buttons.length)?.focus();
}

export const BLOCKS = { encoder: "Encoder", decoder: "Decoder", cross: "Cross: decoder on encoder" };

interface PickersProps {
  blocks: readonly Block[];
  block: Block;
  /** How the lines of a head look, where lines are drawn: those of one layer. */
  Sample?: (head: { head: number }) => ComponentChild;
}

/** Which attention is seen: a block, and any of its layers and heads. */
export function Pickers({ blocks, block, Sample }: PickersProps) {
  const { state, announce } = useViewer();
  const several = useSignal(false);
  const picker = (name: string, of: "layers" | "heads", labels: readonly number[], drawn: readonly ComponentChild[], one = false) => {
    const chosen = () => chosenOf(state[of].value, labels.length);
    const list = one ? [chosen()[0]!] : chosen();
    const choose = (at: number, event: MouseEvent) => {
      if (at === labels.length) state[of].value = [];
      else if (one || (!several.value && !event.ctrlKey && !event.metaKey)) state[of].value = [at];
      else {
        const next = labels.map((_, own) => own).filter((own) => list.includes(own) !== (own === at));
        // None would mean all.
        if (next.length > 0) state[of].value = next;
      }
      announce(`${name}: ${chosen().map((own) => labels[own]).join(", ")}`);
    };
    return (
      <Choice
        name={name}
        labels={one ? drawn : [...drawn, "All"]}
        chosen={(at) => (at === labels.length ? list.length === at : list.includes(at))}
        choose={choose}
      />
    );
  };
  const heads = Array.from({ length: block.heads }, (_, at) => at);
  return (
    <div class="pickers">
      {blocks.length > 1 && (
        <Choice
          tabs
          name="Attention"
          labels={blocks.map(({ name }) => BLOCKS[name])}
          chosen={(at) => blocks[at] === block}
          choose={(at) => (state.block.value = at)}
        />
      )}
      {picker("Layers", "layers", block.layers, block.layers, Sample !== undefined)}
      {picker("Heads", "heads", heads, Sample ? heads.map((head) => [<Sample head={head} />, head]) : heads)}
      <label>
        <input type="checkbox" checked={several.value} onChange={() => (several.value = !several.value)} /> choose several
      </label>
    </div>
  );
}

/** The indices that a list of the state stands for: where it holds none that is there, all. */
export function chosenOf(list: readonly number[], count: number): number[] {
  const all = Array.from({ length: count }, (_, at) => at);
  const own = all.filter((at) => list.includes(at));
  return own.length === 0 ? all : own;
}
