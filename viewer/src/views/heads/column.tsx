// One of the two columns of tokens. It scrolls on its own, and holds only the rows that are seen.

import type { Signal } from "@preact/signals-core";
import { useEffect, useMemo } from "preact/hooks";
import { short } from "../../core/naming.js";
import { step } from "../../core/scale.js";
import { useSignal } from "../../ui/draw.js";
import { within } from "../../ui/found.js";
import { useViewer } from "../../ui/viewer.js";
import { type Item, otherSide, type Side } from "./links.js";
import { grouped } from "./said.js";

/** The height of a row, in pixels: that of `.heads-tokens [role=option]`. */
export const ROW = 24;
const BEYOND = 6;

export interface ColumnProps {
  side: Side;
  title: string;
  items: readonly Item[];
  height: number;
  /** How far the column is scrolled. */
  top: Signal<number>;
  pinned: Item | null;
  /** The one that is looked at, here or in the other column. */
  item: Item | null;
  /** What each of its partners gave or got. */
  shares: ReadonlyMap<Item, number>;
  onLook: (item: Item | null, byKeyboard?: boolean) => void;
  onPin: (item: Item) => void;
}

export function Column({ side, title, items, height, top, pinned, item, shares, onLook, onPin }: ColumnProps) {
  const { state, found, root } = useViewer();
  /** The row at which the keyboard is. */
  const active = useSignal(0);
  const now = active.value;
  const first = Math.max(0, Math.floor(top.value / ROW) - BEYOND);
  const page = Math.floor(height / ROW);
  const shown = items.slice(first, first + page + 2 * BEYOND);
  const look = (index: number) => {
    active.value = Math.min(Math.max(index, 0), items.length - 1);
    onLook(items[active.value]!, true);
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
    else if (event.key === "Enter" || event.key === " ") onPin(items[now]!);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      root.querySelector<HTMLElement>(`.of-${otherSide(side)} [role=listbox]`)?.focus();
    } else return;
    event.preventDefault();
  };
  const hits = useMemo(() => within(items, found.value), [items, found.value]);
  const match = found.value[state.match.value];
  useEffect(() => {
    const [at] = match ? within(items, [match]) : [];
    if (at !== undefined) top.value = Math.max(0, at * ROW - height / 2);
  }, [match]);
  return (
    <div class={`heads-column of-${side}`}>
      <p>
        {title}: {grouped(items.length)}
      </p>
      <div
        class="heads-tokens"
        role="listbox"
        tabIndex={0}
        aria-label={title}
        aria-activedescendant={shown.includes(items[now]!) ? `heads-${side}-${now}` : undefined}
        style={{ height: `${height}px` }}
        {...{ scrollTop: top.value }}
        onScroll={(event) => (top.value = event.currentTarget.scrollTop)}
        onKeyDown={onKeyDown}
        onFocus={(event) => event.currentTarget.matches(":focus-visible") && look(now)}
        onBlur={() => onLook(null)}
        onPointerLeave={() => onLook(null)}
      >
        <div role="presentation" style={{ height: `${items.length * ROW}px` }}>
          {shown.map((own) => {
            const { index, number, label } = own;
            const masked = side === "key" && own.masked;
            return (
              <div
                key={index}
                id={`heads-${side}-${index}`}
                role="option"
                aria-selected={own === pinned}
                aria-setsize={items.length}
                aria-posinset={index + 1}
                class={`${masked ? "masked " : ""}${own === item ? "here " : ""}${hits.includes(index) ? "hit " : ""}s${step(shares.get(own) ?? 0)}`}
                style={{ top: `${index * ROW}px` }}
                onPointerEnter={(event) => event.pointerType !== "touch" && onLook(own)}
                onClick={() => {
                  active.value = index;
                  onPin(own);
                }}
              >
                <span class="number">
                  {number}
                  {masked && " masked"}
                </span>
                <bdi dir="auto" lang="">
                  {short(label)}
                </bdi>
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
