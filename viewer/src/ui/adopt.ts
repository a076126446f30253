// Styles that a script puts in place: a style element would need a policy that allows one.

/** Put a style sheet in place. The answer takes it away. */
export function adopt(root: DocumentOrShadowRoot, css: string): () => void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
  return () => {
    root.adoptedStyleSheets = root.adoptedStyleSheets.filter((own) => own !== sheet);
  };
}
