// Loads the heads that are looked at, and finds their lines.

import { useEffect, useMemo } from "preact/hooks";
import type { Attention } from "../../core/attention.js";
import { axisOf } from "../../core/axis.js";
import type { AttentionToken } from "../../core/schema.js";
import { maskingOf } from "../../ui/chosen.js";
import { useSignal } from "../../ui/draw.js";
import { useViewer } from "../../ui/viewer.js";
import { type Axes, type HeadLinks, type Item, type Link, linksOfHead, type Side, together } from "./links.js";

export interface Picture {
  /** What was wanted when it was searched for. */
  of: string;
  attention: Attention;
  /** As the model counts it. */
  layer: number;
  axes: Axes;
  /** What each head has; those whose weights were left out are not here. */
  heads: readonly HeadLinks[];
  /** How many were left out. */
  missing: number;
  /** The strongest lines of all of them, and how many there are. */
  links: readonly Link[];
  count: number;
}

/** The lines of these heads of a layer; until they are found (`busy`) those of before, or nothing. A text where there are none. */
export function usePicture(attention: Attention, layer: number, heads: readonly number[]): { picture: Picture | string; busy: boolean } {
  const picture = useSignal<Picture | string>("");
  const of = `${attention.block.name} ${layer} ${heads}`;
  const axes = useAxes(attention);
  // Heads that are switched on again are not searched again.
  const known = useMemo(() => new Map<number, HeadLinks>(), [axes, layer]);
  useEffect(() => {
    let wanted = true;
    const find = async () => {
      for (const head of heads) {
        const weights = known.has(head) ? null : await attention.weights(layer, head);
        if (!wanted) return;
        if (weights !== null) known.set(head, linksOfHead(head, weights, axes));
      }
      const found = heads.flatMap((head) => known.get(head) ?? []);
      const missing = heads.length - found.length;
      picture.value = { of, attention, layer, axes, heads: found, missing, ...together(found, axes) };
    };
    find().catch((error: unknown) => wanted && (picture.value = `This attention cannot be shown: ${String(error)}`));
    return () => {
      wanted = false;
    };
  }, [known, `${heads}`]);
  const { value } = picture;
  return { picture: value, busy: typeof value !== "string" && value.of !== of };
}

function useAxes({ block }: Attention): Axes {
  const { loaded, state } = useViewer();
  const now = { ...maskingOf(state), merged: state.merged.value };
  return useMemo(() => {
    const axis = (side: Side, tokens: readonly AttentionToken[], numbers?: readonly number[]) =>
      axisOf(tokens, loaded, now).map((item, index): Item => {
        const first = item.members[0]!;
        return { ...item, side, index, number: numbers?.[first] ?? first };
      });
    const { queries, positions, keys } = block;
    return { query: axis("query", queries, positions), key: axis("key", keys), renormalised: now.renormalised };
  }, [block, ...Object.values(now)]);
}
