// A picture as SVG: text, written by hand, so that every word of it is known to be escaped.

import { firstStrong } from "./label.js";
import { canvasOf, FONT, type Pen, type TextStyle } from "./pen.js";

export class SvgPen implements Pen {
  private readonly parts: string[] = [];

  rect(x: number, y: number, width: number, height: number, fill: string): void {
    this.add("rect", { x, y, width, height, fill });
  }

  line(x1: number, y1: number, x2: number, y2: number, stroke: string, width = 1, opacity = 1): void {
    this.add("line", { x1, y1, x2, y2, stroke, "stroke-width": width, opacity });
  }

  curve(x1: number, y1: number, x2: number, y2: number, stroke: string, width = 1, opacity = 1): void {
    const [from, middle, to] = [x1, (x1 + x2) / 2, x2].map(digits);
    const d = `M${from} ${digits(y1)}C${middle} ${digits(y1)} ${middle} ${digits(y2)} ${to} ${digits(y2)}`;
    this.add("path", { d, fill: "none", stroke, "stroke-width": width, opacity });
  }

  text(x: number, y: number, text: string, { fill, size = 12, bold, align = "left", angle = 0 }: TextStyle): void {
    const direction = firstStrong(text);
    // In SVG the anchor is logical: what starts at the right begins at the left in a text that runs leftwards.
    const anchor = align === "center" ? "middle" : (align === "left") === (direction === "ltr") ? "start" : "end";
    const style = {
      "font-size": size,
      "font-weight": bold ? 600 : 400,
      "text-anchor": anchor,
      direction,
      transform: angle === 0 ? "" : `rotate(${digits(angle)} ${digits(x)} ${digits(y)})`,
    };
    this.add("text", { x, y, dy: ".35em", fill, ...style }, text);
  }

  image(x: number, y: number, width: number, height: number, pixels: ImageData): void {
    const href = canvasOf(pixels).toDataURL("image/png");
    this.add("image", { x, y, width, height, preserveAspectRatio: "none", "image-rendering": "pixelated", href });
  }

  /** The whole document; `told` is what a reader of pictures hears. */
  document(width: number, height: number, title: string, told: string): string {
    const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
    return (
      `<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" ` +
      `font-family="${escaped(FONT)}">\n<title>${escaped(title)}</title>\n<desc>${escaped(told)}</desc>\n` +
      `${this.parts.join("\n")}\n</svg>\n`
    );
  }

  private add(name: string, attributes: Record<string, string | number>, text?: string): void {
    const written = Object.entries(attributes)
      .filter(([key, value]) => value !== "" && !(key === "opacity" && value === 1))
      .map(([key, value]) => ` ${key}="${typeof value === "number" ? digits(value) : escaped(value)}"`)
      .join("");
    this.parts.push(text === undefined ? `<${name}${written}/>` : `<${name}${written}>${escaped(text)}</${name}>`);
  }
}

function digits(value: number): string {
  return String(Math.round(value * 100) / 100);
}

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** A text inside XML. What XML 1.0 cannot hold at all becomes the sign of what is not known. */
export function escaped(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? sign);
}
