// Builds what ships in the Python package: one bundle for each host, of the same source.
import { build } from "esbuild";

const into = "../src/whence/explain/render/viewer";

const shared = {
  bundle: true,
  minify: true,
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  loader: { ".css": "text" },
  charset: "utf8",
  legalComments: "none",
  logLevel: "info",
};

await build({ ...shared, entryPoints: ["src/hosts/file.ts"], format: "iife", outfile: `${into}/file.js` });
await build({ ...shared, entryPoints: ["src/hosts/widget.ts"], format: "esm", outfile: `${into}/widget.js` });
await build({ ...shared, entryPoints: ["src/hosts/page.ts"], format: "iife", outfile: `${into}/page.js` });
