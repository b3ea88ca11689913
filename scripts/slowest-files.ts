/** A reporter of node:test that ends with the files that took longest: where the time of the suite goes. */
import { relative } from 'node:path'
import type { TestEvent } from 'node:test/reporters'

const SHOWN = 10

export default async function* slowestFiles(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files: { readonly file: string; readonly ms: number }[] = []
  for await (const { type, data } of source)
    if (type === 'test:summary' && data.file !== undefined) files.push({ file: relative(process.cwd(), data.file), ms: data.duration_ms })
  if (files.length <= 1) return
  const slowest = files.toSorted((a, b) => b.ms - a.ms).slice(0, Number(process.env['SLOWEST_FILES'] ?? SHOWN))
  yield `\nslowest files of ${files.length}\n`
  for (const { file, ms } of slowest) yield `${(ms / 1000).toFixed(1).padStart(8)} s  ${file}\n`
}
