// One of the two columns of tokens. It scrolls on its own, and holds only the rows that are seen.

import type { Signal } from "@preact/signals";
import type { RefObject } from "preact";
import { useRef } from "preact/hooks";
import type { AxisItem } from "../../core/axis.js";
import { step } from "../../core/scale.js";
import type { Place } from "./links.js";

/** The height of a row, in pixels: that of `.heads-tokens [role=option]`. */
export const ROW = 24;
const BEYOND = 6;
/** Characters of a label: more have no room in a row. */
const LONGEST = 200;

export interface ColumnProps {
  side: Place["side"];
  title: string;
  items: readonly AxisItem[];
  /** The number by which a token is called. */
  numbers: readonly number[];
  height: number;
  /** How far the column is scrolled. */
  top: Signal<number>;
  box: RefObject<HTMLDivElement | null>;
  /** The row at which the keyboard is. */
  active: number;
  pinned: number | null;
  here: number | null;
  /** What each row gave or got, where a token of the other column is looked at. */
  shares: ReadonlyMap<number, number> | null;
  /** Rows that hold what is searched for. */
  hits: ReadonlySet<number>;
  onPoint: (index: number | null, byKeyboard: boolean) => void;
  onPin: (index: number) => void;
  onLeave: () => void;
}

export function Column(props: ColumnProps) {
  const { side, title, items, numbers, height, top, box, active, pinned, here, shares, hits } = props;
  const byPointer = useRef(false);
  const first = Math.max(0, Math.floor(top.value / ROW) - BEYOND);
  const last = Math.min(items.length, Math.ceil((top.value + height) / ROW) + BEYOND);
  const shown = items.slice(first, last).map((item, at) => ({ item, index: first + at }));
  const page = Math.max(1, Math.floor(height / ROW) - 1);
  // What is masked gets nothing; it may still look.
  const masked = (item: AxisItem) => side === "key" && item.masked;
  const onKeyDown = (event: KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowUp: active - 1,
      ArrowDown: active + 1,
      PageUp: active - page,
      PageDown: active + page,
      Home: 0,
      End: items.length - 1,
    };
    const to = steps[event.key];
    if (to !== undefined) props.onPoint(Math.min(Math.max(to, 0), items.length - 1), true);
    else if (event.key === "Enter" || event.key === " ") props.onPin(active);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") props.onLeave();
    else return;
    event.preventDefault();
  };
  return (
    <div class={`heads-column of-${side}`}>
      <p id={`heads-${side}`}>{title}</p>
      <div
        class="heads-tokens"
        role="listbox"
        tabIndex={0}
        aria-labelledby={`heads-${side}`}
        aria-activedescendant={active >= first && active < last ? `heads-${side}-${active}` : undefined}
        ref={box}
        style={{ height: `${height}px` }}
        onScroll={(event) => (top.value = event.currentTarget.scrollTop)}
        onKeyDown={onKeyDown}
        onPointerDown={() => (byPointer.current = true)}
        onFocus={() => {
          if (!byPointer.current) props.onPoint(active, true);
          byPointer.current = false;
        }}
        onBlur={() => props.onPoint(null, true)}
        onPointerLeave={() => props.onPoint(null, false)}
      >
        <div role="presentation" style={{ height: `${items.length * ROW}px` }}>
          {shown.map(({ item, index }) => (
            <div
              key={index}
              id={`heads-${side}-${index}`}
              role="option"
              aria-selected={index === pinned}
              aria-setsize={items.length}
              aria-posinset={index + 1}
              class={classes(masked(item), index === here, hits.has(index), shares?.get(index) ?? 0)}
              style={{ top: `${index * ROW}px` }}
              onPointerEnter={(event) => event.pointerType !== "touch" && props.onPoint(index, false)}
              onClick={() => props.onPin(index)}
            >
              <span class="number">{numbers[index]}</span>
              <bdi dir="auto" lang="">
                {item.label.slice(0, LONGEST)}
              </bdi>
              {masked(item) && <span class="quiet"> masked</span>}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}

function classes(masked: boolean, here: boolean, hit: boolean, share: number): string {
  const shade = step(share);
  return [masked && "masked", here && "here", hit && "hit", shade > 0 && `s${shade}`].filter(Boolean).join(" ");
}
