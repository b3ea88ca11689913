/** Runs one of the extremes, in a process that it may end: run by extreme-values.test.ts. */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { EXTREMES } from './extreme-values.ts'

const { model, inputs } = EXTREMES.get(process.argv[2]!)!
const TYPES = { BOOL: 'bool', FP32: 'float32', INT32: 'int32', INT64: 'int64' } as const
const session = await InferenceSession.create(model, { logSeverityLevel: 4, intraOpNumThreads: 1 })
console.log('loaded')
await session.run(
  Object.fromEntries(
    Object.entries(inputs).map(([name, { datatype, data, shape }]) => [name, new Tensor(TYPES[datatype] as never, data as never, shape)]),
  ),
)
console.log('ran')
