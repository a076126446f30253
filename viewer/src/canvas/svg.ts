// A picture as SVG: text, written by hand, so that every word of it is known to be escaped.

import { firstStrong, FONT } from "./label.js";
import { imageOf, type Pen } from "./pen.js";

/** A pen, and the whole document that it wrote; `told` is what a reader of pictures hears. */
export function svgPen(): Pen & { written: (width: number, height: number, title: string, told: string) => string } {
  let [body, ends] = ["<g>\n", "</g>\n</svg>\n"];
  const add = (name: string, attributes: Attributes, text?: string) => {
    body += element(name, attributes, text);
  };
  return {
    rect: (x, y, width, height, fill) => add("rect", { x, y, width, height, fill }),
    line(x1, y1, x2, y2, stroke, width = 1, opacity = 1) {
      add("line", { x1, y1, x2, y2, stroke, "stroke-width": width, opacity });
    },
    curve(x1, y1, x2, y2, stroke, width = 1, opacity = 1) {
      const middle = (x1 + x2) / 2;
      const d = `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
      add("path", { d, fill: "none", stroke, "stroke-width": width, opacity });
    },
    text(x, y, text, { fill, size = 12, bold, align, angle = 0 }) {
      const direction = firstStrong(text);
      // In SVG the anchor is logical: what starts at the right begins at the left in a text that runs leftwards.
      const anchor = align === "center" ? "middle" : (align === "right") === (direction === "rtl") ? "start" : "end";
      const place = { x, y, dy: ".35em", transform: `rotate(${angle} ${x} ${y})`, direction, "text-anchor": anchor };
      add("text", { ...place, fill, "font-size": size, "font-weight": bold ? 600 : 400 }, text);
    },
    image(x, y, width, height, pixels) {
      const href = imageOf(pixels).toDataURL();
      add("image", { x, y, width, height, preserveAspectRatio: "none", "image-rendering": "pixelated", href });
    },
    within(x, y, width, height) {
      body += `<svg${listed({ x, y, width, height })}>\n`;
      ends = `</svg>\n${ends}`;
    },
    written(width, height, title, told) {
      const size = listed({ width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "font-family": FONT });
      const words = element("title", {}, title) + element("desc", {}, told);
      return `<svg xmlns="http://www.w3.org/2000/svg"${size}>\n${words}${body}${ends}`;
    },
  };
}

type Attributes = Record<string, string | number>;

function element(name: string, attributes: Attributes, text = ""): string {
  return `<${name}${listed(attributes)}>${escaped(text)}</${name}>\n`;
}

function listed(attributes: Attributes): string {
  return Object.entries(attributes)
    .map(([name, value]) => ` ${name}="${typeof value === "number" ? +value.toFixed(2) : escaped(value)}"`)
    .join("");
}

/** A text inside XML. What XML 1.0 cannot hold at all becomes the sign of what is not known. */
export function escaped(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
