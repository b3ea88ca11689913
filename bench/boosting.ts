/**
 * Models of trees as they are read here, beside their own libraries and beside ONNX Runtime on the conversion of onnxmltools: one thread
 * each, in one interleaved run.
 *
 *     sh scripts/node bench/boosting.ts [--rounds 5] [--ms 200]
 */
import { readFile } from 'node:fs/promises'
import { join, parse } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { pythonEnv } from '../scripts/python-env.ts'
import { helpFrom } from '../scripts/help.ts'
import { openInline } from '../src/engine/inline.ts'
import { readPackage } from '../src/model/package.ts'
import { start, stop } from './children.ts'
import { markdownTable, median } from './table.ts'
import { temporaryFolder } from './temporary.ts'
import type { Instance } from '../src/engine/instance.ts'
import type { ModelFile } from '../src/model/formats/format.ts'

helpFrom(import.meta.filename)

const ROWS = [1, 32, 1024] as const
const WAYS = ['library', 'onnxmltools'] as const
type Way = 'slipway' | (typeof WAYS)[number]

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' }, ms: { type: 'string', default: '200' } } })
const rounds = Number(values.rounds)
const ms = Number(values.ms)

const folder = temporaryFolder('slipway-boosting')
const child = start(await pythonEnv('bench-trees'), [join(import.meta.dirname, 'boosting.py'), folder], {
  stdio: ['pipe', 'pipe', 'inherit'],
})
const answers = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()

async function answer<T>(): Promise<T> {
  for (;;) {
    const line = await answers.next()
    if (line.done === true) throw new Error('boosting.py ended')
    // The libraries print warnings.
    if (line.value.startsWith('{')) return JSON.parse(line.value) as T
  }
}

/** Microseconds of a call; undefined where there is no such model. */
async function ofPython(model: string, way: Way, rows: number): Promise<number | undefined> {
  child.stdin!.write(`${JSON.stringify({ model, way, rows, ms })}\n`)
  return (await answer<{ us: number | null }>()).us ?? undefined
}

async function ofSlipway(instance: Instance, file: ModelFile, table: Float32Array, rows: number): Promise<number> {
  const [{ name, datatype, shape }] = file.inputs as [ModelFile['inputs'][number]]
  const columns = shape[1]!
  const part = table.subarray(0, rows * columns)
  const data = datatype === 'FP64' ? Float64Array.from(part) : part.slice()
  const input = { name, datatype, shape: [rows, columns], data }
  const call = async (): Promise<unknown> => await instance.run([input], [file.outputs[0]!.name])
  await call()
  let calls = 0
  const began = performance.now()
  while (performance.now() - began < ms) {
    await call()
    calls++
  }
  return ((performance.now() - began) * 1000) / calls
}

const { models } = await answer<{ models: string[] }>()
const tableIn = async (name: string): Promise<Float32Array> => {
  const bytes = await readFile(join(folder, name))
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
}
const tables = { plain: await tableIn('rows.f32'), mixed: await tableIn('mixed.f32') }
const lines: string[][] = []
for (const model of models) {
  const { name } = parse(model)
  const { file } = await readPackage({ name, version: '1', path: join(folder, model) })
  const instance = await openInline({
    name,
    source: { bytes: file.rewrittenBytes! },
    inputs: file.inputs,
    outputs: file.outputs,
    threads: 1,
  })
  for (const rows of ROWS) {
    const found: Record<Way, number[]> = { slipway: [], library: [], onnxmltools: [] }
    for (let round = 0; round < rounds; round++) {
      found.slipway.push(await ofSlipway(instance, file, name.endsWith('categories') ? tables.mixed : tables.plain, rows))
      for (const way of WAYS) {
        const us = await ofPython(name, way, rows)
        if (us !== undefined) found[way].push(us)
      }
    }
    const us = (way: Way): string => (found[way].length === 0 ? 'none' : `${median(found[way]).toFixed(0)} us`)
    const ratio = (way: Way): string => (found[way].length === 0 ? '' : (median(found[way]) / median(found.slipway)).toFixed(2))
    lines.push([name, String(rows), us('slipway'), us('library'), us('onnxmltools'), ratio('library'), ratio('onnxmltools')])
  }
  await instance.close()
}
await stop(child)
console.log(`${rounds} rounds of ${ms} ms, medians, one thread each\n`)
console.log(markdownTable(['model', 'rows', 'Slipway', 'library', 'onnxmltools', 'library / Slipway', 'onnxmltools / Slipway'], lines))
