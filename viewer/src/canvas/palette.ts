// The colours of the style sheet, for pictures: a canvas knows no variables.

export interface Palette {
  paper: string;
  ink: string;
  quiet: string;
  line: string;
  link: string;
  warn: string;
  /** Red, green and blue, from the darkest of what is negative over the paper, in the middle, to the darkest. */
  stops: readonly (readonly number[])[];
}

/** The index of the paper among the stops: five steps, and then the underline, are on either side. */
export const MIDDLE = 6;
const SIDE = ["1", "2", "3", "4", "5"];

/** The colours as they are now, light or dark, where `place` stands. */
export function readPalette(place: Element): Palette {
  const probe = document.createElement("i");
  probe.style.setProperty("forced-color-adjust", "none");
  place.append(probe);
  const rgb = (name: string) => {
    probe.style.color = `var(--${name})`;
    return (getComputedStyle(probe).color.match(/[\d.]+/g) ?? []).map(Number);
  };
  const named = (name: string) => css(rgb(name));
  const palette = {
    paper: named("paper"),
    ink: named("ink"),
    quiet: named("quiet"),
    line: named("line"),
    link: named("link"),
    warn: named("warn-line"),
    stops: ["n-under", ...SIDE.map((step) => `n${6 - +step}`), "paper", ...SIDE.map((step) => `s${step}`), "under"].map(rgb),
  };
  probe.remove();
  return palette;
}

export function css([red = 0, green = 0, blue = 0]: readonly number[] = []): string {
  return `#${((1 << 24) | (red << 16) | (green << 8) | blue).toString(16).slice(1)}`;
}

const HALF = 512;

/** Pixels for positions from -1 to 1, in equal steps: `table[toPixel(position)]`, in the byte order of ImageData. */
export function pixelTable({ stops }: Palette): Uint32Array {
  return Uint32Array.from({ length: 2 * HALF + 1 }, (_, index) => {
    const at = (index / HALF) * MIDDLE;
    const before = Math.min(Math.floor(at), stops.length - 2);
    const [from, to] = [stops[before]!, stops[before + 1]!];
    const [red, green, blue] = from.map((channel, which) => Math.round(channel + (at - before) * (to[which]! - channel)));
    return (255 << 24) | (blue! << 16) | (green! << 8) | red!;
  });
}

/** Where a position stands in a pixel table. */
export function toPixel(position: number): number {
  return Math.round((position + 1) * HALF);
}
