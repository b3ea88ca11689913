/** What the fuzzer feeds: every parser that reads what others send. */
import { deserialize, serialize } from 'node:v8'
import { PassThrough, Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { packTar } from 'modern-tar'
import { SlipwayError } from '../../src/core/errors.ts'
import { openFrames } from '../../src/engine/frames.ts'
import { pythonFrames } from '../../src/engine/python-frames.ts'
import { inspectOnnx } from '../../src/onnx/inspect.ts'
import { READERS } from '../../src/protocol/bodies/readers.ts'
import { REQUEST_LIMIT_DEFAULTS } from '../../src/protocol/limits.ts'
import { buildSignature } from '../../src/signature/signature.ts'
import { parseJson } from '../../src/tensor/json-reader.ts'
import { writeEntries } from '../../src/model/archive.ts'
import { readPackage } from '../../src/model/package.ts'
import { parseTritonConfig } from '../../src/model/triton/config.ts'
import { countsToTen, hangsForLargeValues, nested } from '../attacks/hostile-graphs.ts'
import { example } from '../fixtures.ts'
import { linearModel, identityModel } from '../onnx/build-model.ts'
import type { Signature } from '../../src/signature/signature.ts'
import type { Target } from './fuzzer.ts'

const bytes = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text))

const JSON_WORDS = [
  '{',
  '}',
  '[',
  ']',
  ':',
  ',',
  '"',
  '\\u0000',
  '\\ud83d',
  '\\',
  'true',
  'false',
  'null',
  '"inputs"',
  '"data"',
  '"shape"',
  '1e5',
  '\ufeff',
  '__proto__',
]
const V2_WORDS = [
  ...JSON_WORDS,
  '"name"',
  '"x"',
  '"datatype"',
  '"FP32"',
  '"BYTES"',
  '"INT64"',
  '"BOOL"',
  '"FP16"',
  '"parameters"',
  '"binary_data_size"',
  '"outputs"',
  '"id"',
]

/** The signature of the example, which has numbers, categories and truth values. */
async function churn(): Promise<Signature> {
  const { file, document } = await readPackage({ name: 'churn', version: '1', path: example('churn') })
  return buildSignature({ file, document, source: 'slipway.yaml' })
}

/** @param folder for files */
export async function targetsOf(folder: string): Promise<Readonly<Record<string, Target>>> {
  const signature = await churn()
  const limits = { ...REQUEST_LIMIT_DEFAULTS, rows: 1000, elements: 100_000 }
  const raw: Signature = {
    ...signature,
    inputs: [
      { name: 'x', datatype: 'FP32', shape: [-1, 4], dimensionNames: [undefined, undefined] },
      { name: 's', datatype: 'BYTES', shape: [-1], dimensionNames: [undefined] },
    ],
    features: undefined,
    ranges: new Map(),
  }
  const read = async (name: keyof typeof READERS, body: Buffer, header: string | undefined, by = signature): Promise<void> => {
    await READERS[name]({ body, header, signature: by, limits })
  }
  const row = '{"tenure_months":3,"monthly_charges":70.5,"support_calls":4}'
  const form = (inner: string): string => `--b\r\ncontent-disposition: form-data; ${inner}\r\n--b--\r\n`
  let unpacked = 0
  return {
    json: {
      seeds: bytes('{"a":[1,2.5e3,-0.1,"\\u00e4\\n",true,null,{"b":{}}]}', '[]', '"\\ud83d\\ude00"', '1e308', '[[[[]]]]'),
      words: JSON_WORDS,
      run: (input) => {
        const value = parseJson(input, { nesting: 64 })
        // What we take, the platform takes too, and means the same by it; numbers beyond doubles apart.
        const text = input.toString('utf8').replace(/^\ufeff/, '')
        if (!/\d{16}|NaN|Infinity|e/i.test(text) && JSON.stringify(value) !== JSON.stringify(JSON.parse(text)))
          throw new Error(`${text} is read as ${JSON.stringify(value)}`)
      },
    },
    people: {
      seeds: bytes(`{"inputs":[${row}]}`, `[${row},${row}]`, row, '{"inputs":[[1,2,3]]}', '[]'),
      words: [...JSON_WORDS, '"tenure_months"', '"contract"', '"monthly"', '"senior"'],
      run: (input) => read('people', input, 'application/json'),
    },
    csv: {
      seeds: bytes('tenure_months,monthly_charges,support_calls\n3,70.5,4\n', '"a","b"\r\n"x""y",1\r\n', 'a\n\n'),
      words: [',', '"', '""', '\n', '\r\n', '\r', ';', 'tenure_months', 'contract', 'monthly', 'true', '\ufeff', '\u0000'],
      run: (input) => read('people', input, 'text/csv'),
    },
    form: {
      seeds: bytes(
        form('name="tenure_months"\r\n\r\n3'),
        form('name="file"; filename="a.csv"\r\ncontent-type: text/csv\r\n\r\na,b\n1,2'),
        form(`name="inputs"\r\n\r\n[${row}]`),
      ),
      words: [
        '--b',
        '--b--',
        '\r\n',
        '\r\n\r\n',
        'content-disposition: form-data; ',
        'name="',
        'filename="',
        '"',
        'content-type: ',
        'text/csv',
        'application/json',
      ],
      run: (input) => read('people', input, 'multipart/form-data; boundary=b'),
    },
    v2: {
      seeds: bytes(
        '{"id":"1","inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"s","shape":[1],"datatype":"BYTES","data":["a"]}]}',
        '{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,4]]}],"outputs":[{"name":"y","parameters":{"binary_data":true}}],"parameters":{"timeout":5}}',
        '{"inputs":[{"data":[true],"datatype":"BOOL","shape":[1],"name":"x"}]}',
      ),
      words: V2_WORDS,
      run: (input) => read('v2', input, undefined, raw),
    },
    binary: {
      seeds: [
        Buffer.concat([
          Buffer.from('92 {"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}'),
          Buffer.alloc(16, 1),
        ]),
        Buffer.concat([
          Buffer.from('92 {"inputs":[{"name":"s","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}}]}  '),
          Buffer.from([1, 0, 0, 0, 65]),
        ]),
        Buffer.from('0 abcd'),
      ],
      words: [...V2_WORDS, '"binary_data_size":', Buffer.from([255, 255, 255, 255]), Buffer.from([0, 0, 0, 128])],
      run: (input) => {
        // What comes before the first space is the header.
        const at = Math.max(0, input.indexOf(' '))
        return read('v2', input.subarray(at + 1), input.subarray(0, at).toString('latin1'), raw)
      },
    },
    onnx: {
      seeds: [linearModel(), identityModel('FP16', ['n', 2]), countsToTen(), hangsForLargeValues(), nested(3)],
      words: [
        'Loop',
        'If',
        'Scan',
        'Identity',
        'Add',
        'Expand',
        'x',
        'y',
        'ai.onnx.ml',
        'location',
        '../x',
        Buffer.from([0x0a]),
        Buffer.from([255, 255, 255, 255, 15]),
      ],
      async run(input) {
        const path = join(folder, 'model.onnx')
        await writeFile(path, input)
        await inspectOnnx(path)
      },
    },
    'config.pbtxt': {
      seeds: bytes(
        'name: "m"\nplatform: "onnxruntime_onnx" # x\nmax_batch_size: 8\ninput [ { name: "x" data_type: TYPE_FP32 dims: [ 4, -1 ] reshape { shape: [ 2, 2, -1 ] } } ]\n',
        'instance_group < count: 2 kind: KIND_CPU >; dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 0x10 }',
        'parameters { key: "a" "\\x41" value { string_value: \'b\' } } version_policy: { specific { versions: [1, 2] } }',
        'platform: "ensemble" ensemble_scheduling { step [ { model_name: "a" model_version: -1 input_map { key: "x" value: "y" } } ] }',
        'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: 1 zero_data: true } } }',
      ),
      words: [
        '{',
        '}',
        '<',
        '>',
        '[',
        ']',
        ':',
        ',',
        ';',
        '"',
        "'",
        '\\',
        '\\u',
        '#',
        '-',
        '0x',
        '017',
        '1e9',
        'inf',
        'true',
        'output',
        'dims',
        '9223372036854775808',
      ],
      run: (input) => void parseTritonConfig(input.toString('latin1'), 'config.pbtxt'),
    },
    tar: {
      seeds: [
        Buffer.from(await packTar([{ header: { name: 'a/model.onnx', size: 3, type: 'file' }, data: new Uint8Array(3) }])),
        Buffer.from(await packTar([{ header: { name: `${'long/'.repeat(30)}a`, size: 1, type: 'file' }, data: new Uint8Array(1) }])),
        Buffer.from(await packTar([{ header: { name: 'a', size: 0, type: 'symlink', linkname: '/etc' } }])),
      ],
      words: [
        '../',
        '/',
        'ustar',
        '\u0000',
        'x',
        'g',
        'L',
        '27 path=../../outside\n',
        Buffer.from([128, 0, 0, 0]),
        '00000000000',
        '77777777777',
      ],
      async run(input) {
        const into = join(folder, `tar-${unpacked++}`)
        await mkdir(into)
        try {
          await writeEntries(Readable.from([input]), into, { path: 'm.tar', limits: { entries: 10, bytes: 100_000 } })
        } catch (error) {
          // What the reader of the format says is told as an archive that cannot be read.
          if (!(error instanceof Error) || error instanceof RangeError) throw error
          throw error instanceof SlipwayError ? error : new SlipwayError('SLW_MODEL_INVALID', error.message)
        } finally {
          await rm(into, { recursive: true, force: true })
        }
        // Nothing was written beside the folder.
        const beside = (await readdir(folder)).filter((name) => name !== 'model.onnx')
        if (beside.length > 0) throw new Error(`there is ${beside.join(', ')}`)
      },
    },
    frames: {
      seeds: [framed({ type: 'loaded', memoryBytes: 1 }), framed({ type: 'result', data: [Float32Array.of(1)] }), framed('x')],
      words: [Buffer.from([0, 0, 0, 0]), Buffer.from([255, 255, 255, 127]), Buffer.from([255, 255, 255, 255]), Buffer.from([255, 15])],
      run: (input) => intoPipe(input, (pipe, receive, onBroken) => openFrames(pipe, receive, onBroken)),
    },
    'python frames': {
      seeds: [
        pythonFramed({ type: 'loaded', memoryBytes: 1 }, []),
        pythonFramed({ type: 'result', id: 1, outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1] }] }, [4]),
      ],
      words: [
        ...JSON_WORDS,
        '"type"',
        '"loaded"',
        '"result"',
        '"load-failed"',
        '"error"',
        '"code"',
        '"message"',
        Buffer.from([0, 0, 0, 0]),
      ],
      run: (input) =>
        intoPipe(input, (pipe, receive, onBroken) => {
          const outputs = [{ name: 'y', datatype: 'FP32' as const, shape: [-1, 1], dimensionNames: [undefined, undefined] }]
          const send = pythonFrames({ inputs: outputs, outputs })(pipe, receive, onBroken)
          // What is answered must have been asked.
          send({ type: 'load', v: 1, spec: { python: {} }, gentle: false } as never)
          send({ type: 'run', id: 1, data: [Float32Array.of(1)], shapes: [[1, 1]], outputs: [0] } as never)
        }),
    },
  }
}

function framed(message: unknown): Buffer {
  const body = serialize(message)
  deserialize(body)
  const header = Buffer.alloc(4)
  header.writeUInt32LE(body.length)
  return Buffer.concat([header, body])
}

function pythonFramed(header: object, blobs: readonly number[]): Buffer {
  const text = Buffer.from(JSON.stringify(header))
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32LE(4 + text.length + blobs.reduce((sum, size) => sum + size, 0), 0)
  lengths.writeUInt32LE(text.length, 4)
  return Buffer.concat([lengths, text, ...blobs.map((size) => Buffer.alloc(size, 1))])
}

/** Frames of the other side come as chunks; whatever is wrong with them is told, and not thrown. */
async function intoPipe(
  input: Buffer,
  open: (pipe: PassThrough, receive: (message: unknown) => void, onBroken: (error: unknown) => void) => unknown,
): Promise<void> {
  const pipe = new PassThrough()
  // What is sent goes nowhere.
  Object.assign(pipe, { write: () => true })
  let broken: unknown
  open(
    pipe,
    () => {},
    (error) => (broken = error),
  )
  for (let at = 0; at < input.length; at += 7) pipe.emit('data', input.subarray(at, at + 7))
  await turn()
  pipe.destroy()
  if (broken !== undefined && !(broken instanceof Error)) throw new SlipwayError('SLW_INTERNAL', 'it broke with no error')
}
