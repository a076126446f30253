// Which explanation the page's address names, after its #. What else stands there is the viewer's: ui/address.ts.

import type { Prefix } from "../ui/address.js";

const NAME = "explanation";

/** The id that the address names; null where it stands for the question. */
export function addressed(): string | null {
  const id = new URLSearchParams(location.hash.slice(1)).get(NAME) ?? "";
  // Nothing else is an id, or may become part of the path that the service is asked for.
  return /^[\w-]{1,99}$/.test(id) ? id : null;
}

/** A step in the browser's history: to an explanation, or to the question. */
export function stepTo(id: string | null): void {
  history.pushState(null, "", id === null ? location.pathname + location.search : `#${NAME}=${id}`);
}

/** What stands before the viewer's own state. */
export function prefixOf(id: string): Prefix {
  return [[NAME, id]];
}
