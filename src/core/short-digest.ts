import { hash } from 'node:crypto'

/** The first half of a SHA-256, 32 hexadecimal digits: a name of a file for a text that is none. */
export function shortDigest(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 32)
}
