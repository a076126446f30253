// The picture of one layer: two columns of tokens, the lines between them, and what they say.

import { useMemo } from "preact/hooks";
import { useStage } from "../../canvas/stage.js";
import { toUnit } from "../../core/scale.js";
import { useSignal } from "../../ui/draw.js";
import { useExporter } from "../../ui/export.js";
import { useViewer } from "../../ui/viewer.js";
import { Column, ROW } from "./column.js";
import { exportOf } from "./export.js";
import { coloursOf, drawLines } from "./lines.js";
import { type Item, linksOfItem, MOST_LINES, otherSide, type Side } from "./links.js";
import { LinkTable, Partners } from "./lists.js";
import { linkSaid, nameOf, said } from "./said.js";
import type { Picture } from "./use_picture.js";

export function HeadsPicture({ picture: whole }: { picture: Picture }) {
  const viewer = useViewer();
  const { state, announce } = viewer;
  const { axes, heads } = whole;
  const pinned = useSignal<Item | null>(null);
  const pointed = useSignal<Item | null>(null);
  const tops = { query: useSignal(0), key: useSignal(0) };
  const rows = Math.max(axes.query.length, axes.key.length);
  const height = Math.min(rows * ROW, Math.max(13 * ROW, 0.66 * innerHeight));

  // What is masked, or divided, makes new items of the same tokens.
  const now = (own: Item | null) => own && (axes[own.side][own.index] ?? null);
  const kept = now(pinned.value);
  const item = now(pointed.value) ?? kept;
  const linesOf = (own: Item) => linksOfItem(own, heads, axes);
  const lines = useMemo(() => (item === null ? whole.links : linesOf(item)), [whole, item]);
  const picture = item === null ? whole : { ...whole, count: lines.length };
  const scale = state.scale.value;
  const summary = useMemo(() => said(picture, item, lines, scale), [lines, scale]);
  const shares = new Map<Item, number>();
  if (item !== null) {
    for (const link of lines) {
      const partner = link[otherSide(item.side)];
      shares.set(partner, (shares.get(partner) ?? 0) + link.weight / heads.length);
    }
  }
  const links = lines.slice(0, MOST_LINES);
  const from = { query: tops.query.value, key: tops.key.value };
  const unit = toUnit(new Float32Array(links.map(({ weight }) => weight)), scale);
  const drawing = { links, unit, from, height };
  const canvas = useStage(({ pen, width }) => drawLines(pen, coloursOf(viewer.root), drawing, 0, width), [lines, scale, height, ...Object.values(from)]);
  useExporter(exportOf(viewer, picture, drawing, summary));

  const reveal = ({ side, index }: Item) => {
    const top = tops[side];
    top.value = Math.min(index * ROW, Math.max(top.value, (index + 1) * ROW - height));
  };
  const look = (to: Item | null, byKeyboard = false) => {
    pointed.value = to;
    if (to === null || !byKeyboard) return;
    reveal(to);
    const [strongest] = linesOf(to);
    announce(strongest === undefined ? `${nameOf(to)}: nothing that is shown` : linkSaid(strongest));
  };
  /** Keeps the lines of a token, and brings its strongest partner into sight; the same once more frees it. */
  const pin = (to: Item) => {
    const off = kept === to;
    pinned.value = off ? null : to;
    announce(off ? "All lines again" : `Kept: ${nameOf(to)}`);
    const [strongest] = linesOf(to);
    if (!off && strongest !== undefined) reveal(strongest[otherSide(to.side)]);
  };
  const free = () => kept && pin(kept);

  const column = (side: Side, title: string) => (
    <Column
      side={side}
      title={title}
      items={axes[side]}
      height={height}
      top={tops[side]}
      pinned={kept}
      item={item}
      shares={shares}
      onLook={look}
      onPin={pin}
    />
  );
  return (
    <div
      onKeyDown={(event) => {
        if (event.key !== "Escape" || kept === null) return;
        event.preventDefault();
        free();
      }}
    >
      <p class="heads-said">{summary}</p>
      <div class="heads-picture">
        {column("query", "From the queries")}
        <canvas
          class="stage heads-lines"
          role="img"
          aria-label={`Lines; the table below holds the same. ${summary}`}
          ref={canvas}
          style={{ height: `${height}px` }}
        />
        {column("key", "To the keys")}
        <div class="heads-partners">
          {item === null ? (
            <p class="quiet">Point at a token, or use the arrow keys. Enter, or a click, keeps its lines.</p>
          ) : (
            <Partners item={item} links={lines} onChoose={reveal} />
          )}
          {kept && (
            <button onClick={free}>
              Show all lines again
            </button>
          )}
        </div>
      </div>
      <LinkTable links={lines} caption={`The strongest first. ${summary}`} />
    </div>
  );
}
