// Chooses what is drawn: a kind of attention, a layer, and any set of its heads.

import type { Block, BlockName } from "../../core/schema.js";

const BLOCKS: Record<BlockName, string> = {
  encoder: "Encoder: the input on itself",
  decoder: "Decoder: the output on itself",
  cross: "Cross: the output on the input",
};

interface ChoiceProps<T> {
  of: T;
  chosen: number;
  onChoose: (at: number) => void;
}

export function Tabs({ of: blocks, chosen, onChoose }: ChoiceProps<readonly Block[]>) {
  return (
    <nav class="heads-row" role="tablist" aria-label="Kind of attention" onKeyDown={walk}>
      {blocks.map(({ name }, at) => (
        <button
          type="button"
          role="tab"
          id={`heads-${name}`}
          aria-selected={at === chosen}
          aria-controls="heads-panel"
          tabIndex={at === chosen ? 0 : -1}
          onClick={() => onChoose(at)}
          onFocus={() => onChoose(at)}
        >
          {BLOCKS[name]}
        </button>
      ))}
    </nav>
  );
}

/** One layer: a group of radio buttons, so the arrow keys go from one to the next. */
export function Layers({ of: layers, chosen, onChoose }: ChoiceProps<readonly number[]>) {
  return (
    <div class="heads-row" role="radiogroup" aria-label="Layer">
      <b>Layer</b>
      {layers.map((layer, at) => (
        <label class="heads-layer">
          <input type="radio" name="heads-layer" checked={at === chosen} onChange={() => onChoose(at)} /> {layer}
        </label>
      ))}
    </div>
  );
}

interface HeadsProps {
  count: number;
  shown: readonly number[];
  onShow: (heads: readonly number[]) => void;
}

/** The legend, in which heads are switched on and off. */
export function HeadPicker({ count, shown, onShow }: HeadsProps) {
  const all = Array.from({ length: count }, (_, head) => head);
  return (
    <div class="heads-row" role="group" aria-label="Heads" onKeyDown={walk}>
      <b>Heads</b>
      <button type="button" onClick={() => onShow(all)}>
        All
      </button>
      <button type="button" onClick={() => onShow([])}>
        None
      </button>
      {all.map((head) => (
        <button
          type="button"
          class="heads-head"
          aria-label={`Head ${head}`}
          aria-pressed={shown.includes(head)}
          onClick={() => onShow(all.filter((other) => shown.includes(other) !== (other === head)))}
          onDblClick={() => onShow([head])}
          onKeyDown={(event) => {
            if (event.key !== "Enter") return;
            event.preventDefault();
            onShow([head]);
          }}
        >
          <Sample head={head} />
          {head}
        </button>
      ))}
      <span class="quiet">Click or space: on or off. Double click or Enter: only this one.</span>
    </div>
  );
}

const COLOURS = 8;

/** Heads are told apart by colour; 8 to 15 have curves besides, 16 to 31 the same again in wider lines. */
export function isCurve(head: number): boolean {
  return Math.floor(head / COLOURS) % 2 === 1;
}

export function widthOf(head: number): number {
  return 1 + Math.floor(head / (2 * COLOURS));
}

/** How the lines of a head look. */
export function Sample({ head }: { head: number }) {
  return (
    <svg width="22" height="12" aria-hidden="true">
      <path
        d={isCurve(head) ? "M1 10C11 10 11 2 21 2" : "M1 10L21 2"}
        style={{ fill: "none", stroke: `var(--h${head % COLOURS})`, strokeWidth: widthOf(head) + 0.75 }}
      />
    </svg>
  );
}

/** Arrow keys go from button to button, round the end. */
function walk(event: KeyboardEvent): void {
  const buttons = [...(event.currentTarget as Element).querySelectorAll("button")];
  const at = buttons.indexOf(event.target as HTMLButtonElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  buttons.at(to % buttons.length)?.focus();
}
