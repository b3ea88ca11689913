/** What the fuzzer feeds: every parser that reads what others send. */
import { deserialize, serialize } from 'node:v8'
import { duplexPair, PassThrough, Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { packTar } from 'modern-tar'
import { isSlipwayError, SlipwayError } from '../../src/core/errors.ts'
import { openFrames } from '../../src/engine/frames.ts'
import { pythonFrames } from '../../src/engine/python-frames.ts'
import { checkEnsemble } from '../../src/model/formats/trees/ensemble.ts'
import { readCatboost } from '../../src/model/formats/trees/catboost.ts'
import { readLightgbm } from '../../src/model/formats/trees/lightgbm.ts'
import { readXgboost } from '../../src/model/formats/trees/xgboost.ts'
import { toOnnx } from '../../src/model/formats/trees/to-onnx.ts'
import { inspectOnnx } from '../../src/onnx/inspect.ts'
import { writeOnnx } from '../../src/onnx/model.ts'
import { READERS } from '../../src/protocol/bodies/readers.ts'
import { MessageReader } from '../../src/protocol/grpc/message-reader.ts'
import { INFERENCE } from '../../src/protocol/grpc/proto/inference.ts'
import { decode, encode } from '../../src/protocol/grpc/proto/schema.ts'
import { Connection } from '../../src/protocol/http2/connection.ts'
import { FLAG, FRAME, frame, numberFrame, PREFACE, SETTING, settingsFrame } from '../../src/protocol/http2/frames.ts'
import { encodeHeaders } from '../../src/protocol/http2/hpack.ts'
import { REQUEST_LIMIT_DEFAULTS } from '../../src/protocol/limits.ts'
import { buildSignature } from '../../src/signature/signature.ts'
import { parseJson } from '../../src/tensor/json-reader.ts'
import { writeNpy } from '../../src/tensor/npy.ts'
import { elementCount } from '../../src/tensor/tensor.ts'
import { writeEntries } from '../../src/model/archive.ts'
import { readPackage } from '../../src/model/package.ts'
import { parseTritonConfig } from '../../src/model/triton/config.ts'
import { countsToTen, hangsForLargeValues, nested } from '../attacks/hostile-graphs.ts'
import { example } from '../fixtures.ts'
import { framed as sealed } from '../grpc-client.ts'
import { linearModel, identityModel } from '../onnx/build-model.ts'
import type { Socket } from 'node:net'
import type { ProtoMessage } from '../../src/protocol/grpc/proto/schema.ts'
import type { BatchForm } from '../../src/protocol/bodies/instances.ts'
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
const BATCH_WORDS = [
  ...JSON_WORDS,
  '"instances"',
  '"examples"',
  '"context"',
  '"x"',
  '"s"',
  '{"b64":"YQ=="}',
  'NaN',
  '[[',
  ']]',
  '9007199254740993',
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

const TREE_WORDS =
  'learner gradient_booster trees left_children right_children split_conditions split_indices default_left split_type categories categories_nodes categories_segments categories_sizes tree_info weight_drop base_score num_class num_target num_feature size_leaf_vector leaf_weights Tree=0 num_leaves= num_cat= split_feature= threshold= decision_type= left_child= right_child= leaf_value= cat_boundaries= cat_threshold= is_linear= average_output num_tree_per_iteration= max_feature_idx= objective= oblivious_trees splits border float_feature_index leaf_values scale_and_bias'.split(
    ' ',
  )

/** What a reader makes of an input; undefined where it refuses it by name. */
function taken<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (isSlipwayError(error) && error.code !== 'SLW_INTERNAL') return undefined
    throw error
  }
}

/** The signature of the example, which has numbers, categories and truth values. */
async function churn(): Promise<Signature> {
  const { file, document } = await readPackage({ name: 'churn', version: '1', path: example('churn') })
  return buildSignature({ file, document, source: 'slipway.yaml' })
}

/** Fields that are as if they had not been sent. */
function withoutDefaults(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDefaults)
  if (value === null || typeof value !== 'object' || Buffer.isBuffer(value)) return Number.isNaN(value) ? 'NaN' : value
  const kept = Object.entries(value).map(([name, item]): [string, unknown] => [name, withoutDefaults(item)])
  return Object.fromEntries(kept.filter(([, item]) => item !== 0 && item !== 0n && item !== '' && item !== false && item !== undefined))
}

/** Gives bytes to a connection of HTTP/2, in two pieces, and reads all that it answers. */
async function connectionTakes(input: Buffer): Promise<void> {
  const [ours, theirs] = duplexPair()
  let failure: unknown
  const connection = new Connection(ours as Socket, {
    limits: { headerBytes: 4096, streams: 10 },
    begin(stream) {
      const reader = new MessageReader({ bytes: 64 * 1024, name: 'the limit' }, () => {})
      stream.taker = {
        data(bytes) {
          try {
            reader.push(bytes)
          } catch {
            stream.cancel()
          }
        },
        end: () => stream.answer('', Buffer.alloc(10), ''),
        gone() {},
      }
    },
    foreign: (socket) => socket.destroy(),
    failed: (error) => (failure = error),
    nowMs: () => performance.now(),
  })
  theirs.resume()
  theirs.on('error', () => {})
  const half = input.length >> 1
  theirs.write(input.subarray(0, half))
  theirs.end(input.subarray(half))
  await turn()
  await turn()
  connection.abort()
  theirs.destroy()
  if (failure !== undefined) throw failure
}

/** @param folder for files */
export async function targetsOf(folder: string): Promise<Readonly<Record<string, Target>>> {
  const trees = await Promise.all(
    ['churn.json', 'churn.ubj', 'dart.json', 'churn.txt', 'churn-cat.json', 'price-cat.json'].map((name) =>
      readFile(join(import.meta.dirname, '../model/trees/samples', name)),
    ),
  )
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
  const batchForm: BatchForm = {
    keys: ['instances', 'inputs', 'examples'],
    beside: ['context', 'parameters'],
    nulls: true,
  }
  const readBatch = async (body: Buffer, by: Signature): Promise<void> => {
    const { inputs } = await READERS.batch({ body, header: undefined, signature: by, limits, form: batchForm })
    for (const { name, shape, data } of inputs)
      if (data.length !== elementCount(shape)) throw new Error(`${name}: ${data.length} values in shape ${shape.join('x')}`)
  }
  const row = '{"tenure_months":3,"monthly_charges":70.5,"support_calls":4}'
  const form = (inner: string): string => `--b\r\ncontent-disposition: form-data; ${inner}\r\n--b--\r\n`
  let unpacked = 0
  const inferRequest = (inputs: readonly ProtoMessage[], raw: readonly Buffer[] = []): Buffer =>
    encode(INFERENCE, 'ModelInferRequest', {
      model_name: 'm',
      id: 'q',
      inputs,
      outputs: [{ name: 'y', parameters: { classification: { int64_param: 2 } } }],
      raw_input_contents: raw,
      parameters: { timeout: { int64_param: 1000 }, t: { string_param: 'a' } },
    })
  const headers = Buffer.from(
    encodeHeaders([
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', '/inference.GRPCInferenceService/ModelInfer'],
      ['content-type', 'application/grpc'],
      ['grpc-timeout', '1S'],
    ]),
    'latin1',
  )
  const settings = settingsFrame([[SETTING.window, 100_000]])
  const begun = Buffer.concat([Buffer.from(PREFACE), settings])
  const unary = (message: Buffer, flags: number = FLAG.endHeaders): Buffer =>
    Buffer.concat([begun, frame(FRAME.headers, flags, 1, headers), frame(FRAME.data, FLAG.endStream, 1, sealed(message))])
  const small = inferRequest([{ name: 'x', datatype: 'FP32', shape: [1, 4] }], [Buffer.alloc(16)])
  return {
    grpc: {
      seeds: [
        small,
        inferRequest([{ name: 'x', datatype: 'FP32', shape: [1, 4], contents: { fp32_contents: [1, 2, 3, 4] } }]),
        inferRequest([
          { name: 'x', datatype: 'FP32', shape: [1, 4], contents: { fp32_contents: [1, 2, 3, 4] } },
          { name: 's', datatype: 'BYTES', shape: [1], contents: { bytes_contents: [Buffer.from('ä')] } },
        ]),
        inferRequest([{ name: 'x', datatype: 'INT64', shape: [2], contents: { int64_contents: [-1, 300] } }]),
      ],
      words: ['FP32', 'BYTES', 'INT8', 'BOOL', Buffer.from([0x0a, 1]), Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]), Buffer.from([0x80, 1])],
      run: (input) => read('grpc', input, undefined, raw),
    },
    protobuf: {
      seeds: [
        encode(INFERENCE, 'RepositoryModelLoadRequest', {
          model_name: 'm',
          parameters: { a: { bool_param: true }, b: { bytes_param: Buffer.alloc(3) } },
        }),
        encode(INFERENCE, 'ModelStatisticsResponse', {
          model_stats: [{ name: 'm', inference_stats: { success: { count: 3, ns: 2 ** 40 } } }],
        }),
      ],
      words: [
        Buffer.from([0x0a]),
        Buffer.from([0x12, 2]),
        Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        '__proto__',
      ],
      run: (input) => {
        for (const type of ['RepositoryModelLoadRequest', 'ModelStatisticsResponse', 'LogSettingsRequest', 'ModelConfig']) {
          const value = decode(INFERENCE, type, input)
          // What has been read is written, and read as the same again.
          const again = decode(INFERENCE, type, encode(INFERENCE, type, value))
          if (!isDeepStrictEqual(withoutDefaults(again), withoutDefaults(value))) throw new Error(`${type} is not what it was`)
        }
      },
    },
    http2: {
      seeds: [
        unary(small),
        Buffer.concat([
          begun,
          frame(FRAME.headers, 0, 1, headers.subarray(0, 20)),
          frame(FRAME.continuation, FLAG.endHeaders, 1, headers.subarray(20)),
        ]),
        Buffer.concat([
          unary(small),
          numberFrame(FRAME.windowUpdate, 1, 100),
          numberFrame(FRAME.reset, 1, 8),
          frame(FRAME.ping, 0, 0, Buffer.alloc(8)),
        ]),
        Buffer.concat([
          begun,
          frame(FRAME.headers, FLAG.endHeaders | FLAG.padded, 3, Buffer.concat([Buffer.from([2]), headers, Buffer.alloc(2)])),
        ]),
      ],
      words: [
        ...Object.values(FRAME).map((type) => frame(type, 0, 1, Buffer.alloc(4))),
        Buffer.from([0x82]),
        Buffer.from([0x3f, 0xe1, 0x1f]),
        Buffer.from([0x40, 0x83, 0xf1, 0xe3, 0xc2]),
        Buffer.from([0xff, 0xff, 0xff]),
      ],
      run: (input) => connectionTakes(input),
    },
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
    trees: {
      seeds: trees,
      words: [
        ...JSON_WORDS,
        ...TREE_WORDS,
        ...['[$d#L', '[$l#l', '[#L', '{L', ']', '}'].map((mark) => Buffer.concat([Buffer.from(mark), Buffer.alloc(7), Buffer.from([3])])),
      ],
      run: (input) => {
        for (const read of [readXgboost, readLightgbm, readCatboost]) {
          const ensemble = taken(() => read(input))
          if (ensemble === undefined) continue
          const isSound = taken(() => (checkEnsemble(ensemble), true))
          // What has been checked becomes a graph, whatever it is.
          if (isSound === true) writeOnnx(toOnnx(ensemble))
        }
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
    batch: {
      seeds: bytes(
        '{"instances":[{"x":[1,2,3,4],"s":"a"},{"x":[1,NaN,-3e5,4],"s":{"b64":"YQ=="}}]}',
        '{"inputs":{"x":[[1,2,3,4]],"s":["a"]},"parameters":{"a":null}}',
        '{"examples":[{"s":"a"}],"context":{"x":[1,2,3,4]}}',
      ),
      words: BATCH_WORDS,
      run: (input) => readBatch(input, raw),
    },
    'batch of people': {
      seeds: bytes(
        `{"instances":[${row},${row}]}`,
        '{"instances":[[1,2,3,"basic","monthly",true]]}',
        '{"inputs":{"tenure_months":[3,4],"plan":["basic"]}}',
        `{"examples":[{"tenure_months":3}],"context":${row}}`,
      ),
      words: [...BATCH_WORDS, '"tenure_months"', '"plan"', '"basic"', '"customers"'],
      run: (input) => readBatch(input, signature),
    },
    mlflow: {
      seeds: bytes(
        '{"dataframe_split":{"columns":["x","s"],"index":[0],"data":[[[1,2,3,4],"a"]]}}',
        '{"dataframe_records":[{"x":[1,2,3,4],"s":"a"}]}',
        '{"inputs":{"x":[[1,2,3,4]],"s":["a"]},"params":{}}',
        '{"instances":[{"x":[1,2,3,4],"s":"a"}]}',
      ),
      words: [...BATCH_WORDS, '"dataframe_split"', '"columns"', '"dataframe_records"', '"params"', '"messages"', '"index"'],
      run: (input) => read('mlflow', input, 'application/json', raw),
    },
    'rows of CSV without a header': {
      seeds: bytes('3,70.5,4,basic,monthly,true\n', '1,2\n"a ""b""",,\r\n', '\n'),
      words: [',', '"', '""', '\n', '\r\n', 'basic', 'true', '1e5', 'nan', '-inf', '\ufeff'],
      run: (input) => read('container', input, 'text/csv'),
    },
    'JSON Lines': {
      seeds: bytes(`${row}\n${row}\n`, '{"features":[1,2,3,"basic","monthly",true]}\r\n\n[1]', '{"data":{"features":{"values":[1]}}}'),
      words: [...JSON_WORDS, '\n', '\r\n', '"features"', '"values"', '"tenure_months"', '"basic"'],
      run: (input) => read('container', input, 'application/jsonlines'),
    },
    npy: {
      seeds: [
        writeNpy({ name: 'x', datatype: 'FP32', shape: [2, 4], data: new Float32Array(8) }),
        writeNpy({ name: 'x', datatype: 'INT64', shape: [1, 4], data: new BigInt64Array(4) }),
        writeNpy({ name: 'x', datatype: 'BOOL', shape: [4], data: new Uint8Array(4) }),
      ],
      words: [
        "'descr': '",
        '>f8',
        '<i2',
        '|b1',
        '<c16',
        'True',
        'False',
        '(',
        ')',
        ', ',
        '4L',
        Buffer.from([2, 0]),
        Buffer.from([255, 255]),
      ],
      run: (input) => read('container', input, 'application/x-npy', { ...raw, inputs: raw.inputs.slice(0, 1) }),
    },
    event: {
      seeds: bytes(
        '{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"instances":[{"x":[1,2,3,4],"s":"a"}]}}',
        '{"data_base64":"eyJpbnN0YW5jZXMiOltdfQ==","specversion":"1.0","id":"1","source":"s","type":"t"}',
        '{"instances":[{"x":[1,2,3,4],"s":"a"}]}',
      ),
      words: [...BATCH_WORDS, '"specversion"', '"1.0"', '"id"', '"source"', '"type"', '"data"', '"data_base64"', '"datacontenttype"'],
      run: async (input) => {
        await READERS.event({ body: input, header: undefined, signature: raw, limits, form: batchForm })
      },
    },
    torchserve: {
      seeds: bytes(
        `application/json\n${row}`,
        `\n[${row},${row}]`,
        `multipart/form-data; boundary=b\n${form(`name="data"\r\n\r\n${row}`)}`,
        `multipart/form-data; boundary=b\n${form('name="body"; filename="a.csv"\r\ncontent-type: text/csv\r\n\r\na,b\n1,2')}`,
      ),
      words: [
        ...JSON_WORDS,
        'text/plain\n',
        'text/csv\n',
        '--b',
        '--b--',
        '\r\n\r\n',
        'name="data"',
        'name="body"',
        'filename="',
        '"tenure_months"',
      ],
      run: (input) => {
        // What comes before the first line break is the type.
        const at = Math.max(0, input.indexOf('\n'))
        return read('torchserve', input.subarray(at + 1), input.subarray(0, at).toString('latin1'))
      },
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
    generate: {
      seeds: bytes(
        '{"id":"1","x":[1,2,3,4],"s":"a","parameters":{"temperature":0.5,"stream":false}}',
        '{"parameters":{"x":[1e5,2,3,NaN],"s":["a","b"]},"other":"text"}',
      ),
      words: [...JSON_WORDS, '"x"', '"s"', '"id"', '"parameters"', '"a"', '[1,2,3,4]'],
      run: (input) => read('generate', input, undefined, raw),
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
