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
const NAMED = "paper ink quiet line link warn-line".split(" ");
const STOPS = "n-under n5 n4 n3 n2 n1 paper s1 s2 s3 s4 s5 under".split(" ");

/** The colours as they are now, light or dark, where `place` stands. */
export function readPalette(place: Element): Palette {
  const probe = document.createElement("i");
  probe.style.setProperty("forced-color-adjust", "none");
  place.append(probe);
  const rgb = (name: string) => {
    probe.style.color = `var(--${name})`;
    return (getComputedStyle(probe).color.match(/[\d.]+/g) ?? []).map(Number);
  };
  const [paper, ink, quiet, line, link, warn] = NAMED.map((name) => css(rgb(name)));
  const palette = { paper, ink, quiet, line, link, warn, stops: STOPS.map(rgb) };
  probe.remove();
  return palette as Palette;
}

export function css([red = 0, green = 0, blue = 0]: readonly number[] = []): string {
  return `#${((1 << 24) | (red << 16) | (green << 8) | blue).toString(16).slice(1)}`;
}

const HALF = 512;

/** From a position, -1 to 1, to its pixel, in the byte order of ImageData: a table of equal steps. */
export function pixels({ stops }: Palette): (position: number) => number {
  const table = Uint32Array.from({ length: 2 * HALF + 1 }, (_, index) => {
    const at = (index / HALF) * MIDDLE;
    const before = Math.min(Math.floor(at), stops.length - 2);
    const [from, to] = [stops[before]!, stops[before + 1]!];
    const [red, green, blue] = from.map((channel, which) => Math.round(channel + (at - before) * (to[which]! - channel)));
    return (255 << 24) | (blue! << 16) | (green! << 8) | red!;
  });
  return (position) => table[Math.round((position + 1) * HALF)]!;
}
