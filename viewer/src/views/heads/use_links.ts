// Loads the heads that are looked at, and finds their lines.

import { useEffect, useMemo, useState } from "preact/hooks";
import type { Attention } from "../../core/attention.js";
import { type Axes, type HeadLinks, type Links, linksOfHead, linksOfPlace, type Place, together } from "./links.js";

export interface Picture extends Links {
  layer: number;
  /** What each head has; those whose weights were left out are not here. */
  heads: readonly HeadLinks[];
}

/** The lines of these heads of a layer; null until they are found. Throws no error: it is part of the answer. */
export function useLinks(attention: Attention, layer: number, heads: readonly number[], axes: Axes) {
  const [picture, setPicture] = useState<Picture | null>(null);
  const [error, setError] = useState<string | null>(null);
  // Heads that are switched on again are not searched again.
  const known = useMemo(() => new Map<number, HeadLinks>(), [attention, layer, axes]);
  useEffect(() => {
    let wanted = true;
    const find = async () => {
      const found: HeadLinks[] = [];
      for (const head of heads) {
        let own = known.get(head);
        if (own === undefined) {
          const weights = await attention.weights(layer, head);
          if (!wanted) return;
          if (weights === null) continue;
          own = linksOfHead(head, weights, axes);
          known.set(head, own);
        }
        found.push(own);
      }
      setPicture({ layer, heads: found, ...together(found, axes.columns.length) });
      setError(null);
    };
    find().catch((reason: unknown) => {
      if (wanted) setError(reason instanceof Error ? reason.message : "it is damaged");
    });
    return () => {
      wanted = false;
    };
  }, [known, heads]);
  return { picture, error };
}

/** All lines of one token, by the heads of the picture; null where none is chosen, and until they are found. */
export function useLinksOfPlace(attention: Attention, picture: Picture | null, place: Place | null, axes: Axes) {
  const [found, setFound] = useState<(Links & { place: Place }) | null>(null);
  useEffect(() => {
    let wanted = true;
    const find = async () => {
      if (picture === null || place === null) return setFound(null);
      const all: HeadLinks[] = [];
      for (const own of picture.heads) {
        const weights = await attention.weights(picture.layer, own.head);
        if (!wanted) return;
        if (weights !== null) all.push(linksOfPlace(place, own, weights, axes));
      }
      setFound({ place, ...together(all, axes.columns.length) });
    };
    // What is damaged was told of when the head was drawn.
    find().catch(() => setFound(null));
    return () => {
      wanted = false;
    };
  }, [picture, place?.side, place?.index]);
  return place === null ? null : found;
}
