// A text in pieces that are shaded, chosen, and walked by keyboard. Its elements are made once and by hand, and a
// class changes only where a shade does: a record of 16,000 words is too much for a tree that is compared.

import { type DrawnText, firstOf } from "../../core/text.js";

export interface Piece {
  readonly start: number;
  readonly end: number;
}

/** What is told of a piece: its index in the list that was given. */
export interface Listener {
  choose(piece: number): void;
  /** The pointer, or the focus, is on a piece, or on none. */
  read(piece?: number): void;
}

/** Characters from which on a block ends at the next line end: what is out of sight is then not laid out. */
const BLOCK = 1500;

export interface Pieces {
  /** Shade each piece: a step from -5 to 5, 0 for none. */
  shade(steps: Int8Array): void;
  /** Say which pieces are chosen. Here and in `show`, an index that no piece has is another's. */
  mark(chosen: readonly number[]): void;
  /** Bring a piece into sight, and the keyboard there. */
  show(piece: number): void;
  /** These code points as a range of the document. */
  range(start: number, end: number): Range;
}

/** `list`: an empty element, which becomes a list to choose from. */
export function piecesOf(list: HTMLElement, drawn: DrawnText, pieces: readonly Piece[], listener: Listener): Pieces {
  const { spans, nodes } = build(list, drawn, pieces);
  let shown: ArrayLike<number> = [];
  let marked: readonly number[] = [];
  let current: HTMLElement | undefined;

  /** Of all pieces one is a stop of the Tab key. */
  const stop = (piece: number) => {
    const span = spans[piece];
    if (span === undefined) return;
    current?.setAttribute("tabindex", "-1");
    span.setAttribute("tabindex", "0");
    current = span;
  };
  const focus = (piece: number) => {
    stop(piece);
    spans[piece]?.focus();
  };
  const on = (type: keyof HTMLElementEventMap, heard: (piece: number, event: Event) => void) =>
    list.addEventListener(type, (event) => {
      const piece = spans.indexOf((event.target as Element).closest("span")!);
      if (piece >= 0) heard(piece, event);
    });
  /** The text node that draws a code point, and where in it; `end`: of the one before, its end. */
  const place = (codePoint: number, end: boolean): [Node, number] => {
    const own = nodes[firstOf(nodes.length - 1, (at) => nodes[at]!.end > codePoint || (end && nodes[at]!.end === codePoint))];
    return own ? [own.node, Math.min(own.node.length, drawn.slice(own.start, codePoint).length)] : [list, 0];
  };

  stop(0);
  // Who marks text to copy it does not choose.
  on("click", (piece) => getSelection()?.isCollapsed !== false && listener.choose(piece));
  on("keydown", (piece, event) => {
    const { key } = event as KeyboardEvent;
    const to = reached(piece, key, spans.length - 1);
    if (key === "Enter" || key === " ") listener.choose(piece);
    else if (to === null) return;
    else focus(to);
    event.preventDefault();
  });
  on("mouseover", (piece) => listener.read(piece));
  on("focusin", (piece) => {
    stop(piece);
    listener.read(piece);
  });
  list.addEventListener("mouseleave", () => listener.read());

  return {
    shade(steps) {
      spans.forEach((span, at) => {
        const step = steps[at]!;
        if (step !== (shown[at] ?? 0)) span.className = step === 0 ? "" : (step < 0 ? "n" : "s") + Math.abs(step);
      });
      shown = steps;
    },
    mark(chosen) {
      for (const at of marked) spans[at]?.removeAttribute("aria-selected");
      for (const at of chosen) spans[at]?.setAttribute("aria-selected", "true");
      marked = chosen;
      stop(chosen[0] ?? -1);
    },
    show(piece) {
      focus(piece);
      spans[piece]?.scrollIntoView({ block: "center" });
    },
    range(start, end) {
      const range = new Range();
      range.setStart(...place(start, false));
      range.setEnd(...place(end, true));
      return range;
    },
  };
}

/** Write the pieces, and what stands between them: an element of each, and each text node with the code points that it draws. */
function build(list: HTMLElement, drawn: DrawnText, pieces: readonly Piece[]) {
  const spans: HTMLElement[] = [];
  const nodes: { node: Text; start: number; end: number }[] = [];
  const all = document.createDocumentFragment();
  let block = document.createElement("div");
  let blockStart = 0;
  let at = 0;
  const write = (into: Node, end: number, text: string) => {
    if (text !== "") nodes.push({ node: into.appendChild(new Text(text)), start: at, end });
    at = Math.max(at, end);
  };
  for (const { start, end } of pieces) {
    write(block, start, drawn.slice(at, start));
    const text = drawn.slice(at, end);
    const words = text.trimEnd() || text;
    const tail = text.slice(words.length);
    const span = block.appendChild(document.createElement("span"));
    span.setAttribute("role", "option");
    if (words.trim() === "") span.setAttribute("aria-label", "blank");
    write(span, end - [...tail].length, words);
    write(block, end, tail);
    spans.push(span);
    if (at - blockStart > BLOCK && tail.includes("\n")) {
      all.append(block);
      block = document.createElement("div");
      blockStart = at;
    }
  }
  write(block, drawn.length, drawn.slice(at, drawn.length));
  all.append(block);
  list.replaceChildren(all);
  return { spans, nodes };
}

/** To which piece a key leads; null for one that leads nowhere. */
function reached(piece: number, key: string, last: number): number | null {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -last, End: last }[key];
  return by === undefined ? null : Math.max(0, Math.min(last, piece + by));
}
