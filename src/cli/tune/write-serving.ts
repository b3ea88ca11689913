import { existsSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { isMap, isScalar, parseDocument } from 'yaml'
import { ModelPackageDocument } from '../../contract/model-package.ts'
import { formatFileIssues, readYaml } from '../../contract/read-yaml.ts'
import { SlipwayError } from '../../core/errors.ts'
import { PACKAGE_FILE } from '../../model/package-file.ts'
import type { Pair, YAMLMap } from 'yaml'

/** Keys of `serving:` and their values. */
export type ServingValues = Readonly<Record<string, number>>

/**
 * The slipway.yaml that applies to a package folder: its own, that of the folder above a numbered version, or, where there
 * is none, the one to write.
 */
export function packageFileOf(folder: string): string {
  const own = join(folder, PACKAGE_FILE)
  const above = join(dirname(folder), PACKAGE_FILE)
  return !existsSync(own) && /^\d+$/.test(basename(folder)) && existsSync(above) ? above : own
}

/**
 * Writes values under `serving:` of a slipway.yaml atomically: a temporary file beside it takes its place. Synchronous, so
 * that no signal is handled half-way.
 * @throws SLW_PACKAGE_INVALID where the file is no package document; errors of the file system
 */
export function writeServing(path: string, values: ServingValues): void {
  // A link is kept, and its target written.
  const file = existsSync(path) ? realpathSync(path) : path
  const before = existsSync(file) ? readFileSync(file, 'utf8') : ''
  const after = withServing(before, values)
  const read = readYaml(after, ModelPackageDocument)
  if ('issues' in read) throw new SlipwayError('SLW_PACKAGE_INVALID', formatFileIssues(path, read.issues), { issues: read.issues })
  const temporary = `${file}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, after, existsSync(file) ? { mode: statSync(file).mode } : {})
    renameSync(temporary, file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

/**
 * The text of a slipway.yaml with values under `serving:`. Every other character stays as it is, where the values can be
 * spliced into the text; else the document is printed anew, with its comments and order.
 */
export function withServing(text: string, values: ServingValues): string {
  const wanted = parseDocument(text)
  const present = wanted.toJS() as { serving?: object } | null
  if (wanted.contents === null) wanted.contents = wanted.createNode({}) as unknown as typeof wanted.contents
  if (isMap(wanted.get('serving'))) for (const [key, value] of Object.entries(values)) wanted.setIn(['serving', key], value)
  else wanted.set('serving', wanted.createNode({ ...present?.serving, ...values }))
  const spliced = splice(text, values)
  return spliced !== undefined && isDeepStrictEqual(parsed(spliced), wanted.toJS()) ? spliced : wanted.toString({ lineWidth: 0 })
}

function parsed(text: string): unknown {
  const document = parseDocument(text)
  return document.errors.length === 0 ? document.toJS() : undefined
}

/** Splices the values into the text; undefined where the text is not written in the usual way. */
function splice(text: string, values: ServingValues): string | undefined {
  const newline = text.includes('\r\n') ? '\r\n' : '\n'
  const { contents } = parseDocument(text)
  if (contents !== null && (!isMap(contents) || contents.flow === true)) return undefined
  const pair = (contents as YAMLMap | null)?.items.find((item) => isScalar(item.key) && item.key.value === 'serving')
  if (pair === undefined) {
    const lines = Object.entries(values).map(([key, value]) => `  ${key}: ${value}${newline}`)
    const gap = text === '' ? '' : text.endsWith('\n') ? newline : `${newline}${newline}`
    return `${text}${gap}serving:${newline}${lines.join('')}`
  }
  return isMap(pair.value) ? spliceMap(text, pair.value, { values, newline }) : undefined
}

function spliceMap(text: string, map: YAMLMap, { values, newline }: { values: ServingValues; newline: string }): string | undefined {
  const edits: { from: number; to: number; text: string }[] = []
  const added: string[] = []
  for (const [key, value] of Object.entries(values)) {
    const found = map.items.find((item) => isScalar(item.key) && item.key.value === key)
    const range = isScalar(found?.value) ? found.value.range : undefined
    if (found === undefined) added.push(`${key}: ${value}`)
    else if (range === undefined || range === null) return undefined
    else edits.push({ from: range[0], to: range[1], text: String(value) })
  }
  const last = map.items.at(-1) as Pair<{ range?: [number, number, number] }, { range?: [number, number, number] } | null> | undefined
  const end = last?.value?.range?.[1]
  const keyAt = last?.key.range?.[0]
  if (added.length > 0) {
    if (end === undefined || keyAt === undefined) return undefined
    if (map.flow === true) edits.push({ from: end, to: end, text: `, ${added.join(', ')}` })
    else {
      const indent = text.slice(text.lastIndexOf('\n', keyAt - 1) + 1, keyAt)
      const lineEnd = text.indexOf(newline, end)
      const at = lineEnd === -1 ? text.length : lineEnd
      edits.push({ from: at, to: at, text: added.map((line) => `${newline}${indent}${line}`).join('') })
    }
  }
  let result = text
  for (const edit of edits.toSorted((a, b) => b.from - a.from)) result = result.slice(0, edit.from) + edit.text + result.slice(edit.to)
  return result
}
