// Loads the heads that are looked at, and finds their lines.

import { useEffect, useMemo } from "preact/hooks";
import type { Attention } from "../../core/attention.js";
import { axisOf } from "../../core/axis.js";
import type { AttentionToken } from "../../core/schema.js";
import { useSignal } from "../../ui/draw.js";
import { useViewer } from "../../ui/viewer.js";
import { type Axes, type HeadLinks, type Item, type Links, linksOfHead, together } from "./links.js";

export interface Picture extends Links {
  attention: Attention;
  /** As the model counts it. */
  layer: number;
  axes: Axes;
  /** What each head has; those whose weights were left out are not here. */
  heads: readonly HeadLinks[];
  /** How many were asked for. */
  asked: number;
}

/** The lines of these heads of a layer; until they are found those of before, or null. */
export function usePicture(attention: Attention, layer: number, heads: readonly number[]) {
  const picture = useSignal<Picture | null>(null);
  const error = useSignal("");
  const axes = useAxes(attention);
  // Heads that are switched on again are not searched again.
  const known = useMemo(() => new Map<number, HeadLinks>(), [axes, layer]);
  useEffect(() => {
    let wanted = true;
    const find = async () => {
      const found: HeadLinks[] = [];
      for (const head of heads) {
        const weights = known.has(head) ? null : await attention.weights(layer, head);
        if (!wanted) return;
        if (weights !== null) known.set(head, linksOfHead(head, weights, axes));
        const own = known.get(head);
        if (own !== undefined) found.push(own);
      }
      picture.value = { attention, layer, axes, heads: found, asked: heads.length, ...together(found) };
      error.value = "";
    };
    find().catch((reason: unknown) => {
      if (wanted) error.value = reason instanceof Error ? reason.message : "it is damaged";
    });
    return () => {
      wanted = false;
    };
  }, [known, heads]);
  return { picture: picture.value, error: error.value };
}

const LONGEST = 60;

function useAxes(attention: Attention): Axes {
  const { loaded, state } = useViewer();
  const { block } = attention;
  const options = { merged: state.merged.value, maskSink: state.maskSink.value, maskSpecial: state.maskSpecial.value };
  const renormalised = state.renormalised.value;
  return useMemo(() => {
    const axis = (tokens: readonly AttentionToken[], numbers?: readonly number[]) =>
      axisOf(tokens, loaded, options).map((item): Item => {
        const { label, members } = item;
        const first = members[0] ?? 0;
        const short = label.length > LONGEST ? `${[...label.slice(0, LONGEST)].slice(0, -1).join("")}…` : label;
        return { ...item, short, number: numbers?.[first] ?? first };
      });
    return { query: axis(block.queries, block.positions), key: axis(block.keys), renormalised };
  }, [attention, ...Object.values(options), renormalised]);
}
