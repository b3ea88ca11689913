/** What a source of ours imports, as it is written there: `./endpoint.ts`, `node:path`; also of types, and what is imported when it is needed. */
export function importsIn(text: string): string[] {
  return Array.from(text.matchAll(/(?:\bfrom|\bimport\(|\bimport)\s*'([^']+)'/g), ([, to = '']) => to)
}
