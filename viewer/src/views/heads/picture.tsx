// The picture of one layer: two columns of tokens, the lines between them, and what they say.

import { useMemo } from "preact/hooks";
import { toUnit } from "../../core/scale.js";
import { useSignal } from "../../ui/draw.js";
import { useExporter } from "../../ui/export.js";
import { useViewer } from "../../ui/viewer.js";
import { Column, ROW } from "./column.js";
import { exportOf } from "./export.js";
import { Lines } from "./lines.js";
import { linksOfPlace, otherSide, type Place, together } from "./links.js";
import { LinkTable, Partners } from "./lists.js";
import { linkSaid, nameOf, said } from "./said.js";
import type { Picture } from "./use_picture.js";

export function HeadsPicture({ picture }: { picture: Picture }) {
  const viewer = useViewer();
  const { state, announce } = viewer;
  const { axes, heads, layer } = picture;
  const pinned = useSignal<Place | null>(null);
  const pointed = useSignal<Place | null>(null);
  const tops = { query: useSignal(0), key: useSignal(0) };
  const height = Math.min(
    Math.max(axes.query.length, axes.key.length) * ROW,
    Math.max(13 * ROW, Math.round(0.66 * innerHeight)),
  );

  const linesOf = (place: Place) => together(heads.map((own) => linksOfPlace(place, own, axes)));
  const place = pointed.value ?? pinned.value;
  const lines = useMemo(() => (place === null ? picture : linesOf(place)), [picture, place]);
  const summary = useMemo(() => said(picture), [picture]);
  const shares = new Map<number, number>();
  if (place !== null) {
    for (const link of lines.links) {
      const partner = link[otherSide(place.side)];
      shares.set(partner, (shares.get(partner) ?? 0) + link.weight / heads.length);
    }
  }
  const unit = toUnit(new Float32Array(lines.links.map(({ weight }) => weight)), state.scale.value);
  const drawing = { links: lines.links, unit, tops, height };
  useExporter(exportOf(viewer, picture, drawing, place === null ? summary : `only those of ${nameOf(axes, place)}`));

  const reveal = ({ side, index }: Place) => {
    const top = tops[side];
    top.value = Math.min(index * ROW, Math.max(top.value, (index + 1) * ROW - height));
  };
  const look = (to: Place | null, byKeyboard = false) => {
    pointed.value = to;
    if (to === null || !byKeyboard) return;
    reveal(to);
    const strongest = linesOf(to).links[0];
    announce(strongest === undefined ? `${nameOf(axes, to)}: nothing that is shown` : linkSaid(strongest, axes));
  };
  /** Keeps the lines of a token, and brings its strongest partner into sight; the same once more frees it. */
  const pin = (to: Place) => {
    const off = pinned.value?.side === to.side && pinned.value.index === to.index;
    pinned.value = off ? null : to;
    announce(off ? "All lines again" : `Kept: ${nameOf(axes, to)}`);
    const strongest = linesOf(to).links[0];
    const side = otherSide(to.side);
    if (!off && strongest !== undefined) reveal({ side, index: strongest[side] });
  };
  const free = () => pinned.value !== null && pin(pinned.value);

  const column = (side: Place["side"], title: string) => (
    <Column
      side={side}
      title={title}
      items={axes[side]}
      height={height}
      top={tops[side]}
      pinned={pinned.value}
      place={place}
      shares={place?.side === side ? new Map() : shares}
      onLook={look}
      onPin={pin}
    />
  );
  return (
    <div
      onKeyDown={(event) => {
        if (event.key !== "Escape" || pinned.value === null) return;
        event.preventDefault();
        free();
      }}
    >
      <p class="heads-said">{summary}</p>
      <div class="heads-picture">
        {column("query", "From the queries")}
        <Lines drawing={drawing} label={`Lines of layer ${layer}; the table below holds the same. ${summary}`} />
        {column("key", "To the keys")}
        <div class="heads-partners">
          {place === null ? (
            <p class="quiet">Point at a token, or go to it with the arrow keys, to see its lines alone; click or press Enter to keep them.</p>
          ) : (
            <Partners axes={axes} place={place} lines={lines} onChoose={reveal} />
          )}
          {pinned.value !== null && (
            <button type="button" onClick={free}>
              Show all lines again
            </button>
          )}
        </div>
      </div>
      <LinkTable axes={axes} lines={lines} caption={`Layer ${layer}, the strongest first. ${place === null ? summary : ""}`} />
    </div>
  );
}
