// The picture of one layer: two columns of tokens, the lines between them, and what they say.

import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Attention } from "../../core/attention.js";
import { type AxisItem, axisOf } from "../../core/axis.js";
import { toUnit } from "../../core/scale.js";
import { visible } from "../../core/text.js";
import { useExporter } from "../../ui/export.js";
import { useViewer } from "../../ui/viewer.js";
import { Column, ROW } from "./column.js";
import { exportOf } from "./export.js";
import { Lines } from "./lines.js";
import type { Axes, Link, Place } from "./links.js";
import { Partners } from "./partners.js";
import { grouped, linkSaid, said } from "./said.js";
import { LinkTable } from "./table.js";
import { useLinks, useLinksOfPlace } from "./use_links.js";

interface PictureProps {
  attention: Attention;
  /** As the model counts it. */
  layer: number;
  heads: readonly number[];
  peek: Signal<number | null>;
}

export function HeadsPicture({ attention, layer, heads, peek }: PictureProps) {
  const viewer = useViewer();
  const { loaded, state, announce, found } = viewer;
  const { block } = attention;
  const options = {
    merged: state.merged.value,
    maskSink: state.maskSink.value,
    maskSpecial: state.maskSpecial.value,
  };
  const renormalised = state.renormalised.value;
  const axes = useMemo((): Axes => {
    return { rows: axisOf(block.queries, loaded, options), columns: axisOf(block.keys, loaded, options), renormalised };
  }, [block, options.merged, options.maskSink, options.maskSpecial, renormalised]);

  const { picture, error } = useLinks(attention, layer, heads, axes);
  const pinned = useSignal<Place | null>(null);
  const pointed = useSignal<Place | null>(null);
  const line = useSignal<Link | null>(null);
  const active = { query: useSignal(0), key: useSignal(0) };
  const tops = { query: useSignal(0), key: useSignal(0) };
  const boxes = { query: useRef<HTMLDivElement>(null), key: useRef<HTMLDivElement>(null) };

  // Words and tokens are counted differently.
  useEffect(() => () => void (pinned.value = pointed.value = null), [axes.rows]);

  const place = pointed.value ?? pinned.value;
  const own = useLinksOfPlace(attention, picture, place, axes);
  const items = { query: axes.rows, key: axes.columns };
  const numbers = useMemo(
    () => ({
      query: axes.rows.map(({ members }) => block.positions[members[0] ?? 0] ?? 0),
      key: axes.columns.map(({ members }) => members[0] ?? 0),
    }),
    [axes],
  );
  const named = (side: Place["side"], index: number) =>
    `${shortened(items[side][index]?.label ?? "")} (${numbers[side][index]})`;
  const hits = useMemo(
    () => ({ query: hitsOf(axes.rows), key: hitsOf(axes.columns) }),
    [axes, found.value],
  );
  function hitsOf(of: readonly AxisItem[]): ReadonlySet<number> {
    const within = (item: AxisItem) =>
      found.value.some(({ source, start, end }) => {
        const id = source === null ? null : loaded.explanation.sources[source]?.id;
        return id === item.source && start < item.end && end > item.start;
      });
    return new Set(of.flatMap((item, at) => (found.value.length > 0 && item.end > item.start && within(item) ? [at] : [])));
  }

  const shown = own ?? picture;
  const unit = useMemo(
    () => toUnit(Float32Array.from(shown?.links ?? [], ({ value }) => value), state.scale.value),
    [shown, state.scale.value],
  );
  const links = useMemo(
    () => shown?.links.filter(({ head }) => peek.value === null || head === peek.value) ?? [],
    [shown, peek.value],
  );
  const shares = useMemo(() => {
    const sums = new Map<number, number>();
    if (own === null || picture === null) return null;
    for (const link of own.links) {
      const partner = own.place.side === "query" ? link.column : link.row;
      sums.set(partner, (sums.get(partner) ?? 0) + link.value / picture.heads.length);
    }
    return sums;
  }, [own]);

  const height = Math.min(
    Math.max(axes.rows.length, axes.columns.length) * ROW,
    Math.max(13 * ROW, Math.round((0.66 * innerHeight) / ROW) * ROW),
  );
  const reveal = ({ side, index }: Place) => {
    const box = boxes[side].current;
    if (box === null) return;
    if (index * ROW < box.scrollTop) box.scrollTop = index * ROW;
    else if ((index + 1) * ROW > box.scrollTop + height) box.scrollTop = (index + 1) * ROW - height;
  };
  const pin = (to: Place) => {
    const off = pinned.value?.side === to.side && pinned.value.index === to.index;
    pinned.value = off ? null : to;
    active[to.side].value = to.index;
    announce(off ? "All lines again" : `Kept: ${named(to.side, to.index)}`);
  };
  // What is looked at is read out, and its strongest partner brought into sight where it is kept.
  const byKeyboard = useRef(false);
  useEffect(() => {
    const strongest = own?.links[0];
    if (own === null || strongest === undefined) return;
    if (byKeyboard.current) announce(linkSaid(strongest, named));
    if (pinned.value === place) {
      reveal(own.place.side === "query" ? { side: "key", index: strongest.column } : { side: "query", index: strongest.row });
    }
  }, [own, pinned.value]);

  const outside = useMemo(() => {
    const sums = picture?.heads.flatMap(({ head }) => [...(attention.rowSums(picture.layer, head) ?? [])]) ?? [];
    return sums.length === 0 ? 0 : 1 - sums.reduce((before, sum) => before + sum, 0) / sums.length;
  }, [picture]);
  const summary = picture === null ? "" : said(picture, axes, outside);
  const missing = picture === null ? 0 : heads.length - picture.heads.length;
  useExporter(exportOf({ viewer, block, axes, picture, links, unit, named, numbers, summary, tops, height, place: own?.place ?? null }));

  // The same element again is not drawn again.
  const canvas = useMemo(
    () => (
      <Lines
        links={links}
        heads={picture?.heads.map(({ head }) => head) ?? []}
        unit={unit}
        tops={tops}
        height={height}
        label={`Lines of layer ${picture?.layer}; the table below holds the same. ${summary}`}
        onPoint={(link) => (line.value = link)}
      />
    ),
    [links, unit, height, summary],
  );

  const column = (side: Place["side"], title: string) => (
    <Column
      side={side}
      title={`${title}: ${grouped(items[side].length)}`}
      items={items[side]}
      numbers={numbers[side]}
      height={height}
      top={tops[side]}
      box={boxes[side]}
      active={Math.min(active[side].value, items[side].length - 1)}
      pinned={pinned.value?.side === side ? pinned.value.index : null}
      here={place?.side === side ? place.index : null}
      shares={own !== null && own.place.side !== side ? shares : null}
      hits={hits[side]}
      onPoint={(index, keyboard) => {
        byKeyboard.current = keyboard;
        pointed.value = index === null ? null : { side, index };
        if (!keyboard || index === null) return;
        active[side].value = index;
        reveal({ side, index });
      }}
      onPin={(index) => pin({ side, index })}
      onLeave={() => boxes[side === "query" ? "key" : "query"].current?.focus()}
    />
  );
  return (
    <div
      onKeyDown={(event) => {
        if (event.key !== "Escape" || pinned.value === null) return;
        event.preventDefault();
        pin(pinned.value);
      }}
    >
      {error !== null && <p class="heads-warning">Layer {layer} cannot be shown: {visible(error)}.</p>}
      {missing > 0 && (
        <p class="heads-warning">
          {grouped(missing)} of these heads cannot be shown. {visible(block.left_out ?? "")}
        </p>
      )}
      <p class="heads-said">{summary}</p>
      <div class="heads-picture">
        {column("query", "From the queries")}
        {canvas}
        {column("key", "To the keys")}
        <div class="heads-partners">
          {own !== null ? (
            <Partners
              links={own}
              pinned={pointed.value === null || same(pointed.value, pinned.value)}
              masked={own.place.side === "key" && axes.columns[own.place.index]?.masked === true}
              named={named}
              onChoose={reveal}
              onFree={() => pinned.value !== null && pin(pinned.value)}
            />
          ) : (
            <p class="quiet">
              {line.value === null ? (
                "Point at a token, or go to it with the arrow keys: only its lines are drawn then, and listed here."
              ) : (
                <bdi dir="auto">{linkSaid(line.value, named)}</bdi>
              )}
            </p>
          )}
        </div>
      </div>
      <LinkTable links={links} caption={`Layer ${layer}, the strongest first. ${own === null ? summary : ""}`} named={named} />
    </div>
  );
}

function same(one: Place | null, other: Place | null): boolean {
  return one?.side === other?.side && one?.index === other?.index;
}

const LONGEST = 60;

/** A label short enough for a sentence. */
function shortened(label: string): string {
  const signs = [...label.slice(0, 4 * LONGEST)];
  return signs.length > LONGEST ? `${signs.slice(0, LONGEST - 1).join("")}…` : label;
}
