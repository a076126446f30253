// A text in pieces that are shaded, chosen, and walked by keyboard. Its elements are made once and by hand, and a
// class changes only where a shade does: a record of 16,000 words is too much for a tree that is compared.

import type { DrawnText } from "../../core/text.js";

export interface Piece {
  readonly start: number;
  readonly end: number;
}

/** What is told of a piece: its index in the list that was given. */
export interface Listener {
  choose(piece: number): void;
  /** The pointer, or the focus, is on a piece; on none for null. */
  read(piece: number | null): void;
}

/** Characters from which on a block ends at the next line end: what is out of sight is then not laid out. */
const BLOCK = 1500;
const CLASSES = ["n5", "n4", "n3", "n2", "n1", "", "s1", "s2", "s3", "s4", "s5"];

export class Pieces {
  private readonly spans: HTMLElement[] = [];
  private readonly places = new Map<Node, number>();
  /** Each text node with the code points that it draws. */
  private readonly nodes: { node: Text; start: number; end: number }[] = [];
  private steps: Int8Array;
  private chosen: readonly number[] = [];
  private current = 0;

  /** `list`: an empty element, which becomes a list to choose from. */
  constructor(
    private readonly list: HTMLElement,
    private readonly drawn: DrawnText,
    pieces: readonly Piece[],
    listener: Listener,
  ) {
    this.steps = new Int8Array(pieces.length);
    this.build(pieces);
    this.listen(listener);
  }

  /** Shade each piece: a step from -5 to 5, 0 for none. */
  shade(steps: Int8Array): void {
    for (let at = 0; at < steps.length; at++) {
      if (steps[at] !== this.steps[at]) this.spans[at]!.className = CLASSES[steps[at]! + 5]!;
    }
    this.steps = steps;
  }

  /** Say which pieces are chosen. */
  mark(chosen: readonly number[]): void {
    for (const at of this.chosen) this.spans[at]?.removeAttribute("aria-selected");
    for (const at of chosen) this.spans[at]?.setAttribute("aria-selected", "true");
    this.chosen = chosen;
    if (chosen[0] !== undefined) this.stop(chosen[0]);
  }

  /** Bring a piece into sight, and the keyboard there. */
  show(piece: number): void {
    const span = this.spans[piece];
    if (span === undefined) return;
    this.stop(piece);
    span.scrollIntoView({ block: "center" });
    span.focus({ preventScroll: true });
  }

  /** These code points as a range of the document. */
  range(start: number, end: number): Range {
    const range = new Range();
    range.setStart(...this.place(start, false));
    range.setEnd(...this.place(end, true));
    return range;
  }

  private build(pieces: readonly Piece[]): void {
    const all = document.createDocumentFragment();
    let block = document.createElement("div");
    let blockStart = 0;
    let at = 0;
    const write = (into: Node, start: number, end: number, text: string) => {
      if (text === "") return;
      this.nodes.push({ node: into.appendChild(document.createTextNode(text)), start, end });
    };
    const gap = (end: number) => {
      if (end > at) write(block, at, end, this.drawn.slice(at, end));
      at = Math.max(at, end);
    };
    pieces.forEach((piece, index) => {
      gap(piece.start);
      const text = this.drawn.slice(at, piece.end);
      const words = text.trimEnd() || text;
      const tail = text.slice(words.length);
      const tailStart = tail === "" ? piece.end : piece.end - [...tail].length;
      const span = block.appendChild(document.createElement("span"));
      span.setAttribute("role", "option");
      if (words.trim() === "") span.setAttribute("aria-label", "blank");
      write(span, at, tailStart, words);
      write(block, tailStart, piece.end, tail);
      this.spans.push(span);
      this.places.set(span, index);
      at = Math.max(at, piece.end);
      if (at - blockStart > BLOCK && tail.includes("\n")) {
        all.append(block);
        block = document.createElement("div");
        blockStart = at;
      }
    });
    gap(this.drawn.length);
    all.append(block);
    this.list.replaceChildren(all);
    this.stop(0);
  }

  private listen(listener: Listener): void {
    const on = (type: keyof HTMLElementEventMap, heard: (piece: number, event: Event) => void) =>
      this.list.addEventListener(type, (event) => {
        const span = (event.target as Element).closest("[role=option]");
        const piece = span === null ? undefined : this.places.get(span);
        if (piece !== undefined) heard(piece, event);
      });
    on("click", (piece) => {
      const selection = getSelection();
      // Who marks text to copy it does not choose.
      if (selection === null || selection.isCollapsed) listener.choose(piece);
    });
    on("keydown", (piece, event) => {
      const { key } = event as KeyboardEvent;
      if (key === "Enter" || key === " ") listener.choose(piece);
      else {
        const to = this.next(piece, key);
        if (to === null) return;
        this.stop(to);
        this.spans[to]!.focus();
      }
      event.preventDefault();
    });
    on("mouseover", listener.read);
    on("focusin", (piece) => {
      this.stop(piece);
      listener.read(piece);
    });
    this.list.addEventListener("mouseleave", () => listener.read(null));
  }

  private next(piece: number, key: string): number | null {
    const last = this.spans.length - 1;
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -last, End: last }[key];
    return by === undefined ? null : Math.max(0, Math.min(last, piece + by));
  }

  /** Of all pieces one is a stop of the Tab key. */
  private stop(piece: number): void {
    this.spans[this.current]?.setAttribute("tabindex", "-1");
    this.spans[piece]?.setAttribute("tabindex", "0");
    this.current = piece;
  }

  private place(codePoint: number, end: boolean): [Node, number] {
    let low = 0;
    let high = this.nodes.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      const own = this.nodes[middle]!;
      if (own.end < codePoint || (!end && own.end === codePoint)) low = middle + 1;
      else high = middle;
    }
    const own = this.nodes[low];
    if (own === undefined) return [this.list, 0];
    return [own.node, Math.min(own.node.length, this.drawn.slice(own.start, codePoint).length)];
  }
}
