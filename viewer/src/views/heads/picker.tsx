// Chooses what is drawn: a kind of attention, a layer, and any set of its heads.

import { useRef, useState } from "preact/hooks";
import type { Block, BlockName } from "../../core/schema.js";
import { colourName, isCurve, widthOf } from "./strokes.js";

const BLOCKS: Record<BlockName, string> = {
  encoder: "Encoder: the input on itself",
  decoder: "Decoder: the output on itself",
  cross: "Cross: the output on the input",
};

interface TabsProps {
  blocks: readonly Block[];
  chosen: number;
  onChoose: (block: number) => void;
}

export function Tabs({ blocks, chosen, onChoose }: TabsProps) {
  const list = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: KeyboardEvent) => {
    const to = moved(event.key, chosen, blocks.length);
    if (to === null) return;
    event.preventDefault();
    onChoose(to);
    list.current?.querySelectorAll<HTMLElement>("[role=tab]")[to]?.focus();
  };
  return (
    <div class="heads-row" role="tablist" aria-label="Kind of attention" ref={list} onKeyDown={onKeyDown}>
      {blocks.map(({ name }, at) => (
        <button
          type="button"
          role="tab"
          key={name}
          id={`heads-tab-${name}`}
          aria-selected={at === chosen}
          aria-controls="heads-panel"
          tabIndex={at === chosen ? 0 : -1}
          onClick={() => onChoose(at)}
        >
          {BLOCKS[name]}
        </button>
      ))}
    </div>
  );
}

interface LayersProps {
  layers: readonly number[];
  chosen: number;
  onChoose: (at: number) => void;
}

/** One layer: a group of radio buttons, so the arrow keys go from one to the next. */
export function Layers({ layers, chosen, onChoose }: LayersProps) {
  return (
    <div class="heads-row" role="radiogroup" aria-label="Layer">
      <b>Layer</b>
      {layers.map((layer, at) => (
        <label class="heads-layer" key={layer}>
          <input type="radio" name="heads-layer" checked={at === chosen} onChange={() => onChoose(at)} />
          <span>{layer}</span>
        </label>
      ))}
    </div>
  );
}

interface HeadsProps {
  count: number;
  shown: readonly number[];
  onShow: (heads: readonly number[]) => void;
  /** A head that is pointed at is seen alone, as long as it is. */
  onPeek: (head: number | null) => void;
}

/** The legend, in which heads are switched on and off. */
export function HeadPicker({ count, shown, onShow, onPeek }: HeadsProps) {
  const list = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState(0);
  const all = Array.from({ length: count }, (_, head) => head);
  const on = new Set(shown);
  const onKeyDown = (event: KeyboardEvent) => {
    const to = moved(event.key, at, count);
    if (!(event.target as Element).matches(".heads-head")) return;
    if (event.key === "Enter") onShow([at]);
    else if (to === null) return;
    else list.current?.querySelectorAll<HTMLElement>(".heads-head")[to]?.focus();
    event.preventDefault();
  };
  return (
    <div class="heads-row" role="group" aria-label="Heads" aria-describedby="heads-keys" ref={list} onKeyDown={onKeyDown}>
      <b>Heads</b>
      {all.map((head) => (
        <button
          type="button"
          class="heads-head"
          key={head}
          aria-label={`Head ${head}`}
          aria-pressed={on.has(head)}
          tabIndex={head === Math.min(at, count - 1) ? 0 : -1}
          onFocus={() => setAt(head)}
          onClick={() => {
            onPeek(null);
            onShow(all.filter((other) => on.has(other) !== (other === head)));
          }}
          onDblClick={() => onShow([head])}
          onPointerEnter={(event) => event.pointerType !== "touch" && on.has(head) && onPeek(head)}
          onPointerLeave={() => onPeek(null)}
        >
          <Sample head={head} />
          {head}
        </button>
      ))}
      <button type="button" onClick={() => onShow(all)}>
        All
      </button>
      <button type="button" onClick={() => onShow([])}>
        None
      </button>
      <small class="quiet" id="heads-keys">
        Click or space: on or off. Double click or Enter: only this one.
      </small>
    </div>
  );
}

/** How the lines of a head look. */
export function Sample({ head }: { head: number }) {
  return (
    <svg class="heads-sample" width="22" height="12" viewBox="0 0 22 12" aria-hidden="true">
      <path
        d={isCurve(head) ? "M1 10C11 10 11 2 21 2" : "M1 10L21 2"}
        fill="none"
        style={{ stroke: `var(${colourName(head)})`, strokeWidth: widthOf(head) + 0.75 }}
      />
    </svg>
  );
}

/** Where an arrow key leads to among `count` things; null for other keys. */
function moved(key: string, from: number, count: number): number | null {
  switch (key) {
    case "ArrowRight":
    case "ArrowDown":
      return (from + 1) % count;
    case "ArrowLeft":
    case "ArrowUp":
      return (from + count - 1) % count;
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return null;
  }
}
