// The colours of the style sheet, for pictures: a canvas knows no variables.

export type Rgb = readonly [number, number, number];

export interface Palette {
  paper: string;
  ink: string;
  quiet: string;
  line: string;
  link: string;
  warn: string;
  /** From the paper, for 0, over the five steps to the darkest, for 1. */
  positive: readonly Rgb[];
  negative: readonly Rgb[];
}

const STEPS = [1, 2, 3, 4, 5];

/** The colours as they are now, light or dark, where `place` stands. */
export function readPalette(place: Element): Palette {
  const probe = place.ownerDocument.createElement("i");
  probe.style.setProperty("forced-color-adjust", "none");
  place.append(probe);
  const colour = (name: string): Rgb => {
    probe.style.color = `var(--${name})`;
    const [red = 0, green = 0, blue = 0] = (getComputedStyle(probe).color.match(/[\d.]+/g) ?? []).map(Number);
    return [red, green, blue];
  };
  const paper = colour("paper");
  const palette = {
    paper: css(paper),
    ink: css(colour("ink")),
    quiet: css(colour("quiet")),
    line: css(colour("line")),
    link: css(colour("link")),
    warn: css(colour("warn-line")),
    positive: [paper, ...STEPS.map((step) => colour(`s${step}`)), colour("under")],
    negative: [paper, ...STEPS.map((step) => colour(`n${step}`)), colour("n-under")],
  };
  probe.remove();
  return palette;
}

/** The colour of a position from -1 to 1. */
export function shade(palette: Palette, position: number): Rgb {
  const stops = position < 0 ? palette.negative : palette.positive;
  const at = Math.min(Math.abs(position), 1) * (stops.length - 1);
  const before = Math.min(Math.floor(at), stops.length - 2);
  const [from, to] = [stops[before], stops[before + 1]];
  if (from === undefined || to === undefined) return [0, 0, 0];
  const mix = (channel: 0 | 1 | 2) => Math.round(from[channel] + (at - before) * (to[channel] - from[channel]));
  return [mix(0), mix(1), mix(2)];
}

export function css([red, green, blue]: Rgb): string {
  return `#${((1 << 24) | (red << 16) | (green << 8) | blue).toString(16).slice(1)}`;
}

const HALF = 512;

/** Pixels for positions from -1 to 1, in equal steps: `table[place(position)]`, in the byte order of ImageData. */
export function pixelTable(palette: Palette): Uint32Array {
  return Uint32Array.from({ length: 2 * HALF + 1 }, (_, at) => {
    const [red, green, blue] = shade(palette, at / HALF - 1);
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  });
}

/** Where a position stands in a pixel table. */
export function place(position: number): number {
  return Math.round((position + 1) * HALF);
}
