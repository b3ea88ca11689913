/**
 * The test files that a change can reach: those that import a changed file, directly or through others, or start a program that does.
 *
 *     scripts/node scripts/changed-tests.ts [REF]   # since REF, and what is not committed; default: HEAD
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { importsIn } from './imports.ts'

const ROOT = join(import.meta.dirname, '..')
/** Whoever starts it may reach every file of the sources. */
const COMMAND = 'bin/slipway'
/** Every test stands on these. */
const FOUNDATIONS = /^(package(-lock)?\.json|tsconfig\.json|scripts\/(node|test|python-env\.ts|prerequisites\.ts))$/
/** Whatever is read and not imported, and who reads it. */
const READERS: readonly (readonly [RegExp, string])[] = [
  [/^(docs\/|README|ARCHITECTURE|AGENTS|examples\/)/, 'test/docs/'],
  [/^bench\//, 'test/scripts/'],
  [/^scripts\//, 'test/scripts/'],
]

/**
 * @param files of the tree, relative to its root
 * @param changed among them, or deleted
 * @param read the text of a file; undefined where it is not there
 */
export function reached(files: readonly string[], changed: readonly string[], read: (file: string) => string | undefined): string[] {
  const tests = files.filter((file) => file.endsWith('.test.ts'))
  if (changed.some((file) => FOUNDATIONS.test(file))) return tests
  const importers = new Map<string, Set<string>>()
  const note = (from: string, to: string): void => {
    let known = importers.get(to)
    if (known === undefined) importers.set(to, (known = new Set()))
    known.add(from)
  }
  for (const file of files) {
    if (!/\.(ts|html)$/.test(file)) continue
    const text = read(file) ?? ''
    const beside = Array.from(text.matchAll(/\bnew URL\('([^']+)'/g), ([, to = '']) => to)
    for (const to of [...importsIn(text), ...beside]) if (to.startsWith('.')) note(file, join(dirname(file), to))
    for (const [, entry = ''] of text.matchAll(/\bentryUrl\('([^']+)'\)/g)) note(file, `src/${entry}.ts`)
    if (text.includes(COMMAND) && !file.startsWith('src/')) note(file, COMMAND)
  }
  for (const file of files) if (file.startsWith('src/')) note(COMMAND, file)
  const seen = new Set<string>()
  const waiting = [...changed]
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file)) continue
    seen.add(file)
    waiting.push(...(importers.get(file) ?? []))
    // What stands beside tests in their folder, such as scripts of Python and recorded answers, is theirs.
    if (file.startsWith('test/') && !file.endsWith('.ts')) waiting.push(...files.filter((one) => one.startsWith(`${topOf(file)}/`)))
    for (const [what, readers] of READERS) if (what.test(file)) waiting.push(...tests.filter((test) => test.startsWith(readers)))
  }
  return tests.filter((test) => seen.has(test)).toSorted()
}

function topOf(file: string): string {
  return file.split('/').slice(0, 2).join('/')
}

function git(...args: readonly string[]): string[] {
  return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
    .split('\0')
    .filter((line) => line !== '')
}

if (import.meta.main) {
  const [ref = 'HEAD'] = process.argv.slice(2)
  const untracked = git('ls-files', '-z', '--others', '--exclude-standard')
  const files = [...git('ls-files', '-z'), ...untracked].filter((file) => existsSync(join(ROOT, file)))
  const changed = [...git('diff', '-z', '--no-renames', '--name-only', ref), ...untracked]
  for (const test of reached(files, changed, (file) => readFileSync(join(ROOT, file), 'utf8'))) console.log(relative('', join(ROOT, test)))
}
