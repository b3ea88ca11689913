/** Models that train-models.py has made, asked here. */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openInline } from '../../../src/engine/inline.ts'
import { readLightgbm } from '../../../src/model/formats/trees/lightgbm.ts'
import { toOnnx } from '../../../src/model/formats/trees/to-onnx.ts'
import { readXgboost } from '../../../src/model/formats/trees/xgboost.ts'
import { readPackage } from '../../../src/model/package.ts'
import { writeOnnx } from '../../../src/onnx/model.ts'
import { elementCount } from '../../../src/tensor/tensor.ts'
import { pythonEnv } from '../../../scripts/python-env.ts'
import type { ModelFile } from '../../../src/model/formats/format.ts'
import type { Tensor } from '../../../src/tensor/tensor.ts'

export type Library = 'xgboost' | 'lightgbm' | 'catboost'

/** A model, as train-models.py tells of it. */
export interface Made {
  readonly name: string
  readonly file: string
  readonly rows: number
  readonly features: number
  readonly outputs: number
  readonly objective: string
  readonly params: unknown
  readonly marked: boolean
  readonly categories: number
}

export interface MakeOptions {
  readonly library: Library
  readonly seed: number
  readonly count: number
  readonly folder: string
  readonly first?: number
}

/** Models one after another, as they are made. */
export async function* makeModels({ library, seed, count, folder, first = 0 }: MakeOptions): AsyncGenerator<Made> {
  const program = join(import.meta.dirname, 'train-models.py')
  const child = spawn(await pythonEnv('trees'), [program, library, String(seed), String(count), folder, String(first)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Threads of OpenMP wait for one another by turning round and round.
    env: { ...process.env, OMP_NUM_THREADS: '1' },
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-4000)))
  const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
  try {
    for await (const line of createInterface({ input: child.stdout })) if (line.startsWith('{')) yield JSON.parse(line) as Made
    const code = await ended
    if (code !== 0) throw new Error(`${program} ${library} ${seed} ended with ${code}: ${said}`)
  } finally {
    child.kill()
  }
}

/** Tolerance of an answer: relative to the larger of it and one. */
const TOLERANCE = 1e-6

/** What differs between the answers here and those of the library, in words; undefined where nothing does. */
export async function difference(folder: string, made: Made): Promise<string | undefined> {
  const path = join(folder, made.file)
  const { file } = await readPackage({ name: made.name, version: '1', path })
  const found = await differenceOf(folder, made, file, file.rewrittenBytes!)
  if (found !== undefined || made.categories === 0) return found
  // As models with far more categories are read.
  const read = made.file.endsWith('.txt') ? readLightgbm : readXgboost
  const searching = await differenceOf(folder, made, file, writeOnnx(toOnnx(read(await readFile(path)), { tables: false })))
  return searching === undefined ? undefined : `without tables: ${searching}`
}

async function differenceOf(folder: string, made: Made, file: ModelFile, bytes: Uint8Array): Promise<string | undefined> {
  const [input, output] = [file.inputs[0]!, file.outputs[0]!]
  if (input.shape[1] !== made.features) return `${input.shape[1]} features, expected ${made.features}`
  const rows = doubles(await readFile(join(folder, `${made.name}.rows`)))
  const expected = doubles(await readFile(join(folder, `${made.name}.expected`)))
  const instance = await openInline({ name: made.name, source: { bytes }, inputs: file.inputs, outputs: file.outputs, threads: 1 })
  try {
    const ask = async (from: number, to: number): Promise<Tensor> => {
      const part = rows.subarray(from * made.features, to * made.features)
      const data = input.datatype === 'FP32' ? Float32Array.from(part) : Float64Array.from(part)
      const { outputs } = await instance.run(
        [{ name: input.name, datatype: input.datatype, shape: [to - from, made.features], data }],
        [output.name],
      )
      return outputs[0]!
    }
    const answer = await ask(0, made.rows)
    const columns = elementCount(answer.shape) / made.rows
    const value = (tensor: Tensor, row: number, column: number): number => Number((tensor.data as Float64Array)[row * columns + column])
    for (let row = 0; row < made.rows; row++) {
      const values = Array.from({ length: columns }, (_, column) => value(answer, row, column))
      const wanted = [...expected.subarray(row * made.outputs, (row + 1) * made.outputs)]
      const problem = disagreement(values, wanted)
      if (problem !== undefined)
        return `row ${row} [${rows.subarray(row * made.features, (row + 1) * made.features).join(', ')}]: ${problem}`
    }
    // A row alone takes another way through the runtime.
    for (const row of [0, made.rows - 1]) {
      const alone = await ask(row, row + 1)
      for (let column = 0; column < columns; column++)
        if (!close(value(alone, 0, column), value(answer, row, column))) return `row ${row} alone is answered differently`
    }
    return undefined
  } finally {
    await instance.close()
  }
}

function disagreement(values: readonly number[], wanted: readonly number[]): string | undefined {
  // The library gives the probability of the second class, or the number of the likeliest.
  const binary = values.length === 2 && wanted.length === 1 && !Number.isInteger(wanted[0])
  const likeliest = values.length > wanted.length && !binary
  const found = binary ? [values[1]!] : likeliest ? [values.indexOf(Math.max(...values))] : values
  const sum = values.reduce((total, one) => total + one, 0)
  if ((binary || likeliest) && Math.abs(sum - 1) > TOLERANCE) return `probabilities ${values.join(', ')}`
  if (found.length !== wanted.length) return `${found.length} values, expected ${wanted.length}`
  return found.every((one, index) => close(one, wanted[index]!)) ? undefined : `${found.join(', ')}, expected ${wanted.join(', ')}`
}

function close(a: number, b: number): boolean {
  return Object.is(a, b) || a === b || Math.abs(a - b) <= TOLERANCE * Math.max(1, Math.abs(b)) || (Number.isNaN(a) && Number.isNaN(b))
}

function doubles(bytes: Buffer): Float64Array {
  return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
}
