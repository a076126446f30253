// Builds what ships in the Python package: one bundle for each host, of the same source. With --check it writes
// nothing, and fails where what is there is not what the source builds, or is too large.
import { build, transform } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { minify } from "terser";

const INTO = new URL("../src/whence/explain/render/viewer/", import.meta.url);
const BUNDLES = { file: ["file.ts", "iife"], viewer: ["module.ts", "esm"], page: ["page.ts", "iife"] };
const KB = 1024;
const MOST_GZIPPED_BYTES = 40 * KB;

/** Style sheets as texts: the script makes sheets of them. */
const styles = {
  name: "styles",
  setup({ onLoad }) {
    onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, "utf8"), { loader: "css", minify: true });
      return { contents: code, loader: "text" };
    });
  },
};

const check = process.argv.includes("--check");

for (const [name, [host, format]] of Object.entries(BUNDLES)) {
  const { outputFiles } = await build({
    entryPoints: [new URL(`src/hosts/${host}`, import.meta.url).pathname],
    absWorkingDir: new URL(".", import.meta.url).pathname,
    bundle: true,
    minify: true,
    write: false,
    format,
    target: "es2022",
    // Shorter than the automatic form, whose wrapper copies each element's children into its properties.
    tsconfigRaw: { compilerOptions: { jsx: "react", jsxFactory: "h", jsxFragmentFactory: "Fragment" } },
    inject: [new URL("jsx.mjs", import.meta.url).pathname],
    plugins: [styles],
    charset: "utf8",
    legalComments: "none",
  });
  // Once more by a minifier that looks further: a thirtieth less. Nobody constructs an anonymous function here, so all
  // of them may be arrows.
  const compress = { passes: 2, lhs_constants: false, unsafe_arrows: true };
  const { code: text } = await minify(outputFiles[0].text, { ecma: 2022, module: format === "esm", compress });
  const file = new URL(`${name}.js`, INTO);
  const bytes = gzipSync(text, { level: 9 }).length;
  console.log(`${`${name}.js`.padEnd(10)} ${(bytes / KB).toFixed(1)} KB gzipped`);
  if (check && bytes > MOST_GZIPPED_BYTES) fail(`that is more than ${MOST_GZIPPED_BYTES / KB} KB`);
  if (!check) await writeFile(file, text);
  else if ((await readFile(file, "utf8")) !== text) fail("it is not what the source builds: run make viewer");
}

function fail(why) {
  console.error(why);
  process.exit(1);
}
