/**
 * Lengths of texts in characters (Unicode code points), as databases and people count them. `length` of a JavaScript string counts UTF-16
 * units: an emoji has two.
 */
export function characterCount(text: string): number {
  let count = text.length
  for (let index = 0; index < text.length - 1; index++) if (isPair(text, index)) count--
  return count
}

/** The first characters of a text, none of them cut in half. */
export function firstCharacters(text: string, max: number): string {
  if (text.length <= max) return text
  let at = 0
  for (let count = 0; count < max && at < text.length; count++) at += isPair(text, at) ? 2 : 1
  return text.slice(0, at)
}

function isPair(text: string, index: number): boolean {
  return (text.charCodeAt(index) & 0xfc00) === 0xd800 && (text.charCodeAt(index + 1) & 0xfc00) === 0xdc00
}
