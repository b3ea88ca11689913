import { readFileSync } from 'node:fs'

/** With `--help`, prints the comment that a program begins with, which has its usage, and ends. @param file of the program */
export function helpFrom(file: string): void {
  if (!process.argv.includes('--help')) return
  const [, comment = ''] = /\/\*\*([\s\S]*?)\*\//.exec(readFileSync(file, 'utf8')) ?? []
  console.log(comment.replaceAll(/^ *\* ?/gm, '').trim())
  process.exit(0)
}
