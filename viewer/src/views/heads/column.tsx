// One of the two columns of tokens. It scrolls on its own, and holds only the rows that are seen.

import type { Signal } from "@preact/signals-core";
import { step } from "../../core/scale.js";
import { useSignal } from "../../ui/draw.js";
import { useViewer } from "../../ui/viewer.js";
import { type Item, otherSide, type Place } from "./links.js";
import { grouped } from "./said.js";

/** The height of a row, in pixels: that of `.heads-tokens [role=option]`. */
export const ROW = 24;
const BEYOND = 6;

export interface ColumnProps {
  side: Place["side"];
  title: string;
  items: readonly Item[];
  height: number;
  /** How far the column is scrolled. */
  top: Signal<number>;
  pinned: Place | null;
  place: Place | null;
  /** What each row gave or got, where a token of the other column is looked at. */
  shares: ReadonlyMap<number, number>;
  onLook: (place: Place | null, byKeyboard?: boolean) => void;
  onPin: (place: Place) => void;
}

export function Column({ side, title, items, height, top, pinned, place, shares, onLook, onPin }: ColumnProps) {
  const { loaded, found, root } = useViewer();
  /** The row at which the keyboard is. */
  const active = useSignal(0);
  const now = active.value;
  const first = Math.max(0, Math.floor(top.value / ROW) - BEYOND);
  const page = Math.floor(height / ROW);
  const shown = items.slice(first, first + page + 2 * BEYOND);
  const look = (index: number) => {
    active.value = Math.min(Math.max(index, 0), items.length - 1);
    onLook({ side, index: active.value }, true);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const to = {
      ArrowUp: now - 1,
      ArrowDown: now + 1,
      PageUp: now - page,
      PageDown: now + page,
      Home: 0,
      End: items.length,
    }[event.key];
    if (to !== undefined) look(to);
    else if (event.key === "Enter" || event.key === " ") onPin({ side, index: now });
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      root.querySelector<HTMLElement>(`.of-${otherSide(side)} [role=listbox]`)?.focus();
    } else return;
    event.preventDefault();
  };
  const isHit = ({ source, start, end }: Item) =>
    found.value.some((hit) => {
      const id = hit.source === null ? null : loaded.explanation.sources[hit.source]?.id;
      return id === source && hit.start < end && hit.end > Math.max(start, hit.start);
    });
  return (
    <div class={`heads-column of-${side}`}>
      <p id={`heads-of-${side}`}>
        {title}: {grouped(items.length)}
      </p>
      <div
        class="heads-tokens"
        role="listbox"
        tabIndex={0}
        aria-labelledby={`heads-of-${side}`}
        aria-activedescendant={now >= first && now < first + shown.length ? `heads-${side}-${now}` : undefined}
        style={{ height: `${height}px` }}
        {...{ scrollTop: top.value }}
        onScroll={(event) => (top.value = event.currentTarget.scrollTop)}
        onKeyDown={onKeyDown}
        onFocus={(event) => event.currentTarget.matches(":focus-visible") && look(now)}
        onBlur={() => onLook(null)}
        onPointerLeave={() => onLook(null)}
      >
        <div role="presentation" style={{ height: `${items.length * ROW}px` }}>
          {shown.map((item, at) => {
            const index = first + at;
            const masked = side === "key" && item.masked;
            const is = (other: Place | null) => other?.side === side && other.index === index;
            return (
              <div
                key={index}
                id={`heads-${side}-${index}`}
                role="option"
                aria-selected={is(pinned)}
                aria-setsize={items.length}
                aria-posinset={index + 1}
                class={`${masked ? "masked " : ""}${is(place) ? "here " : ""}${isHit(item) ? "hit " : ""}s${step(shares.get(index) ?? 0)}`}
                style={{ top: `${index * ROW}px` }}
                onPointerEnter={(event) => event.pointerType !== "touch" && onLook({ side, index })}
                onClick={() => {
                  active.value = index;
                  onPin({ side, index });
                }}
              >
                <span class="number">
                  {item.number}
                  {masked && " masked"}
                </span>
                <bdi dir="auto" lang="">
                  {item.short}
                </bdi>
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
