import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isSlipwayError } from '../../core/errors.ts'
import { decodeBinary } from '../../tensor/binary.ts'
import { DATATYPES } from '../../tensor/datatype.ts'
import { generateSample } from '../../tensor/sample.ts'
import { allocate, elementCount, formatShape } from '../../tensor/tensor.ts'
import { isSet, lineOf, numberOf, numbersOf, partOf, partsOf, textOf } from './message.ts'
import { datatypeOf } from './tensors.ts'
import { lineError } from './text-format.ts'
import type { Datatype } from '../../tensor/datatype.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Message } from './text-format.ts'

/** Values of one input of a sample. */
interface WarmupInput {
  readonly name: string
  readonly line: number
  readonly datatype: Datatype
  /** Without rows. */
  readonly dims: readonly number[]
  readonly values: 'zeros' | 'random' | { readonly file: string }
}

/** A request that an instance answers before the first one of a client. */
export interface WarmupSample {
  readonly name: string
  readonly line: number
  /** Rows; 0: shapes are whole. */
  readonly batchSize: number
  /** How often it is run. */
  readonly count: number
  readonly inputs: readonly WarmupInput[]
}

/** Bytes that the values of one input may take. */
const BYTES_MAX = 256 * 1024 * 1024
const RUNS_MAX = 1000

/** @throws SLW_PACKAGE_INVALID */
export function readWarmup(message: Message, source: string): WarmupSample {
  const name = textOf(message, 'name')
  const count = Math.max(1, numberOf(message, 'count'))
  if (count > RUNS_MAX) throw lineError(source, lineOf(message, 'count'), `model_warmup: count: ${count} is more than ${RUNS_MAX}`)
  const batchSize = numberOf(message, 'batch_size')
  const inputs = partsOf(message, 'inputs').map((entry): WarmupInput => {
    const input = textOf(entry, 'key')
    const given = partOf(entry, 'value')
    const fail = (text: string): never => {
      throw lineError(source, entry.line, `model_warmup "${name}": input "${input}": ${text}`)
    }
    if (given === undefined) return fail('it has no value')
    const datatype = datatypeOf(textOf(given, 'data_type'))
    if (datatype === undefined) return fail('data_type is missing')
    const dims = numbersOf(given, 'dims')
    if (dims.some((dim) => dim < 1)) fail(`dims ${formatShape(dims)} has a size that is not above 0`)
    if (elementCount(dims) * Math.max(1, batchSize) * Math.max(1, DATATYPES[datatype].bytes) > BYTES_MAX)
      fail(`${formatShape(dims)} of ${batchSize} rows takes more than ${BYTES_MAX} bytes`)
    const file = textOf(given, 'input_data_file')
    if (file !== '' && !/^[^/\\\0]+$/.test(file)) fail(`input_data_file: "${file}" names no file in the folder "warmup"`)
    const values = file === '' ? (isSet(given, 'zero_data') ? 'zeros' : isSet(given, 'random_data') ? 'random' : undefined) : { file }
    if (values === undefined) return fail('none of zero_data, random_data and input_data_file says what its values are')
    return { name: input, line: entry.line, datatype, dims, values }
  })
  return { name, line: message.line, batchSize, count, inputs }
}

/**
 * The tensors of a sample, in the order of the configuration. Files lie in the folder `warmup` beside it, with the bytes as the binary
 * extension of the protocol has them.
 * @param source the configuration
 * @throws SLW_PACKAGE_INVALID
 */
export async function warmupTensors({ name, batchSize, inputs }: WarmupSample, source: string): Promise<Tensor[]> {
  return await Promise.all(
    inputs.map(async ({ name: input, line, datatype, dims, values }): Promise<Tensor> => {
      const shape = batchSize > 0 ? [batchSize, ...dims] : [...dims]
      if (values === 'zeros') {
        const data = allocate(datatype, elementCount(shape))
        return { name: input, datatype, shape, data }
      }
      if (values === 'random') return generateSample([{ name: input, datatype, shape, dimensionNames: shape.map(() => undefined) }], 1)[0]!
      const path = join(dirname(source), 'warmup', values.file)
      const fail = (text: string): never => {
        throw lineError(source, line, `model_warmup "${name}": input "${input}": ${text}`)
      }
      const found = await stat(path).catch(() => undefined)
      if (found?.isFile() !== true) return fail(`${path}: no such file`)
      if (found.size > BYTES_MAX) fail(`${path} has ${found.size} bytes, ${BYTES_MAX} are allowed`)
      try {
        return { name: input, datatype, shape, data: decodeBinary(await readFile(path), input, datatype, shape) }
      } catch (error) {
        return isSlipwayError(error) ? fail(`${path}: ${error.message}`) : fail(String(error))
      }
    }),
  )
}
