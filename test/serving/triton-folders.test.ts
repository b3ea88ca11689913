import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { localVersion } from '../../src/cli/model/package-files.ts'
import { readPackage } from '../../src/model/package.ts'
import { startServer } from '../../src/server/start-server.ts'
import { addingModel } from '../adding-models.ts'
import { post } from '../fixtures.ts'
import { buildModel, floats, identityModel, node, value, weights } from '../onnx/build-model.ts'
import { added, health } from '../server/served.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Serving } from '../../src/contract/serving-options.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const tensor = (name: string, dims: string, more = ''): string => `{ name: "${name}" data_type: TYPE_FP32 dims: [ ${dims} ] ${more} }`
const INSTANCE = 'instance_group { count: 1 kind: KIND_CPU }\n'

/** Scores of three classes, and the sum of each row. */
const scores = buildModel({
  input: [value('x', 'FP32', ['n', 3])],
  output: [value('sum', 'FP32', ['n', 1]), value('scores', 'FP32', ['n', 3])],
  node: [node('Softmax', ['x'], ['scores']), node('MatMul', ['x', 'ones'], ['sum'])],
  initializer: [floats('ones', [3, 1], 1, 1, 1)],
})

/** Looks rows up in a table of three: another index is refused. */
const table = buildModel({
  input: [value('index', 'INT64', ['n'])],
  output: [value('row', 'FP32', ['n'])],
  node: [node('Gather', ['table', 'index'], ['row'])],
  initializer: [weights('table', 'FP32', [3], Float32Array.of(1, 2, 3))],
})

async function repository(folder: TemporaryFolder): Promise<void> {
  const write = async (model: string, config: string, file: string, bytes: Uint8Array | string): Promise<void> => {
    await folder.write(`models/${model}/config.pbtxt`, config)
    await folder.write(`models/${model}/${file}`, bytes)
  }
  const adder = `name: "adder"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 8\n${INSTANCE}input ${tensor('x', '4')}\noutput ${tensor('y', '4')}\n`
  await write(
    'adder',
    `${adder}default_model_filename: "add.onnx"\nversion_policy { latest { num_versions: 2 } }\ndynamic_batching { max_queue_delay_microseconds: 100 priority_levels: 3 default_priority_level: 2 default_queue_policy { default_timeout_microseconds: 900000 max_queue_size: 7 } }`,
    '1/add.onnx',
    addingModel(1),
  )
  await folder.write('models/adder/2/add.onnx', addingModel(2))
  await folder.write('models/adder/10/add.onnx', addingModel(10))
  await folder.write('models/adder/10/other.onnx', 'what lies beside is no matter')
  await write(
    'reshaped',
    `max_batch_size: 4 ${INSTANCE} input ${tensor('x', '1', 'reshape { shape: [ ] }')} output ${tensor('y', '1', 'reshape { shape: [ ] }')}`,
    '1/model.onnx',
    identityModel('FP32', ['n']),
  )
  await write('whole', `${INSTANCE} input ${tensor('x', '-1, 4')} output ${tensor('y', '-1, 4')}`, '1/model.onnx', addingModel(3))
  await write(
    'labelled',
    `max_batch_size: 4 ${INSTANCE} input ${tensor('x', '3')} output [ ${tensor('scores', '3', 'label_filename: "names.txt"')} ]`,
    '1/model.onnx/model.onnx',
    scores,
  )
  await folder.write('models/labelled/names.txt', 'cat\r\ndog\r\nbird\r\n')
  const looked = `max_batch_size: 4 ${INSTANCE} input { name: "index" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } } output ${tensor('row', '1', 'reshape { shape: [ ] }')}`
  const warmed = (file: string): string =>
    `${looked}\nmodel_warmup {\n name: "w" batch_size: 2 count: 3 inputs { key: "index" value { data_type: TYPE_INT64 dims: [ 1 ] input_data_file: "${file}" } } }`
  await write('warmed', warmed('right'), '1/model.onnx', table)
  await folder.write('models/warmed/warmup/right', new Uint8Array(BigInt64Array.of(2n, 1n).buffer))
  await write('misled', warmed('wrong'), '1/model.onnx', table)
  await folder.write('models/misled/warmup/wrong', new Uint8Array(BigInt64Array.of(2n, 7n).buffer))
  await write('cold', warmed('missing'), '1/model.onnx', table)
  // As in Triton's own example of a picture model.
  await write(
    'picture',
    `platform: "onnxruntime_onnx"
max_batch_size : 0
input [ { name: "x" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, 2, 2 ] reshape { shape: [ 1, 3, 2, 2 ] } } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 12 ] reshape { shape: [ 1, 3, 2, 2 ] } label_filename: "labels.txt" } ]`,
    '1/model.onnx',
    identityModel('FP32', [1, 3, 2, 2]),
  )
  await folder.write('models/picture/labels.txt', Array.from({ length: 12 }, (_, index) => `class ${index}\n`).join(''))
  await write('python', 'name: "python"\nbackend: "python"', '1/model.py', 'class TritonPythonModel: pass')
  await write('gpu', 'max_batch_size: 8\ninstance_group { kind: KIND_GPU }', '1/model.onnx', addingModel(1))
  await write('other', `max_batch_size: 8\ninput ${tensor('x', '5')}\noutput ${tensor('y', '4')}`, '1/model.onnx', addingModel(1))
  await write('typed', 'max_batch_size: 8\ninput { name: "x" data_type: TYPE_INT32 dims: [ 4 ] }', '1/model.onnx', addingModel(1))
  await write('renamed', `max_batch_size: 8\ninput ${tensor('X', '4')}`, '1/model.onnx', addingModel(1))
  await write('fixed', 'max_batch_size: 8', '1/model.onnx', identityModel('FP32', [2, 4]))
  await write('optional', `max_batch_size: 8\ninput ${tensor('x', '4', 'optional: true')}`, '1/model.onnx', addingModel(1))
  await write('unlabelled', `max_batch_size: 8 output ${tensor('y', '4', 'label_filename: "no.txt"')}`, '1/model.onnx', addingModel(1))
  await write('named', 'default_model_filename: "mine.onnx"', '1/model.onnx', addingModel(1))
  await write('over', `max_batch_size: 8 ${INSTANCE}`, '1/model.onnx', addingModel(5))
  await folder.write('models/over/slipway.yaml', 'serving: { maxBatchSize: 3 }\n')
}

describe('a repository of Triton', () => {
  let folder: TemporaryFolder
  let server: SlipwayServer
  before(async () => {
    folder = await temporaryFolder()
    await repository(folder)
    server = await startServer({ models: [{ path: join(folder.path, 'models') }], port: 0 })
  })
  after(async () => {
    await server.close()
    await folder[Symbol.asyncDispose]()
  })

  const serving = (name: string): Serving => server.dataPlane.endpoint(name).requireMain().requireReady().serving
  const metadata = async (name: string): Promise<Record<string, unknown>> =>
    (await (await fetch(`${server.url}/v2/models/${name}`)).json()) as Record<string, unknown>
  const infer = (name: string, inputs: object[]): ReturnType<typeof post> => post(`${server.url}/v2/models/${name}/infer`, { inputs })

  it('serves the file, the versions and the batches that a configuration names', async () => {
    assert.deepEqual([await added(server, 'adder'), await added(server, 'adder', '2')], [10, 2])
    assert.equal(await added(server, 'adder', '1'), '404: model "adder" has no version "1"; served: 2, 10')
    const { instances, maxBatchSize, maxDelayUs, queueTimeoutUs, queueRequests } = serving('adder')
    assert.deepEqual([instances, maxBatchSize, maxDelayUs, queueTimeoutUs, queueRequests], [1, 8, 100, 900_000, 7])
    const config = (await (await fetch(`${server.url}/v2/models/adder/config`)).json()) as { dynamic_batching: Record<string, unknown> }
    const { default_priority_level, default_queue_policy } = config.dynamic_batching
    assert.equal(default_priority_level, 2)
    assert.deepEqual(default_queue_policy, {
      timeout_action: 'REJECT',
      default_timeout_microseconds: 900_000,
      allow_timeout_override: true,
      max_queue_size: 7,
    })
    assert.deepEqual((await metadata('adder'))['inputs'], [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }])
    assert.equal(serving('over').maxBatchSize, 3, 'slipway.yaml goes over it')
  })

  it('takes and gives tensors in the shapes of the configuration', async () => {
    const { status, body } = await infer('reshaped', [{ name: 'x', datatype: 'FP32', shape: [3, 1], data: [1, 2, 3] }])
    assert.deepEqual([status, body['outputs']], [200, [{ name: 'y', datatype: 'FP32', shape: [3, 1], data: [1, 2, 3] }]])
    assert.deepEqual((await metadata('reshaped'))['outputs'], [{ name: 'y', datatype: 'FP32', shape: [-1, 1] }])
    const flat = await infer('reshaped', [{ name: 'x', datatype: 'FP32', shape: [3], data: [1, 2, 3] }])
    assert.match(String(flat.body['error']), /has shape \[3\], expected \[-1, 1\]/)
    const values = Array.from({ length: 12 }, (_, index) => index)
    const picture = await infer('picture', [{ name: 'x', datatype: 'FP32', shape: [3, 2, 2], data: values }])
    assert.deepEqual(picture.body['outputs'], [{ name: 'y', datatype: 'FP32', shape: [12], data: values }])
    assert.equal(server.dataPlane.endpoint('picture').requireMain().signature?.labels.get('y')?.[11], 'class 11')
    assert.deepEqual([serving('whole').batching, await added(server, 'whole')], ['off', 3])
    assert.deepEqual((await metadata('whole'))['inputs'], [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }])
  })

  it('serves the outputs that are listed, and answers with the labels of their file', async () => {
    assert.deepEqual(
      (await metadata('labelled'))['outputs'],
      [{ name: 'scores', datatype: 'FP32', shape: [-1, 3] }],
      'the sum is not listed',
    )
    const { body } = await post(`${server.url}/models/labelled/predict`, { inputs: [{ x: [1, 3, 2] }] })
    const [answer] = body['predictions'] as { prediction: string; probabilities: Record<string, number> }[]
    assert.equal(answer?.prediction, 'dog')
    assert.deepEqual(Object.keys(answer?.probabilities ?? {}), ['cat', 'dog', 'bird'])
  })

  it('warms instances by the samples that it has, and refuses a version that fails at one', async () => {
    const { body } = await infer('warmed', [{ name: 'index', datatype: 'INT64', shape: [1, 1], data: [2] }])
    assert.deepEqual((body['outputs'] as { data: number[] }[])[0]?.data, [3])
    const { models } = await health(server)
    const why = (name: string): string => JSON.stringify(models.find((model) => model.name === name))
    assert.match(why('misled'), /misled\/config\.pbtxt: line 3: model_warmup \\"w\\" failed: the model refused the inputs/)
    assert.match(why('cold'), /model_warmup \\"w\\": input \\"index\\": .*\/cold\/warmup\/missing: no such file/)
  })

  it('reads a configuration, and the files that it names, again when they change', async () => {
    const path = 'models/labelled/names.txt'
    await folder.write(path, 'one\ntwo\nthree')
    await server.repository.rescan(true)
    const { body } = await post(`${server.url}/models/labelled/predict`, { inputs: [{ x: [1, 3, 2] }] })
    assert.equal((body['predictions'] as { prediction: string }[])[0]?.prediction, 'two')
    await folder.write(
      'models/over/config.pbtxt',
      `max_batch_size: 8 ${INSTANCE} version_policy { all { } } response_cache { enable: true }`,
    )
    await folder.write('models/over/2/model.onnx', addingModel(6))
    await server.repository.rescan(true)
    assert.deepEqual([await added(server, 'over', '1'), await added(server, 'over')], [5, 6])
    assert.equal(serving('over').cacheMb, 64)
  })

  it('says so where the file alone was named, and its configuration is not read', async () => {
    const path = join(folder.path, 'models/adder/2/add.onnx')
    await using alone = await startServer({ models: [{ path }], port: 0, serving: { instances: 1 } })
    const { package: source, remarks } = alone.dataPlane.endpoint('add').requireMain().requireReady()
    assert.equal(source.triton, undefined)
    assert.match(
      remarks.join(),
      /adder\/config\.pbtxt is not read, as the model file alone was named; serve the folder .*\/models\/adder to/,
    )
  })

  it('has its configuration, labels and samples pushed with a version', async () => {
    const paths = async (name: string): Promise<string[]> =>
      (await localVersion(join(folder.path, 'models', name, '1'))).files.map((file) => file.path).toSorted()
    assert.deepEqual(await paths('labelled'), ['config.pbtxt', 'model.onnx/model.onnx', 'names.txt'])
    assert.deepEqual(await paths('warmed'), ['config.pbtxt', 'model.onnx', 'warmup/right'])
    await folder.write(
      'pushed/config.pbtxt',
      `max_batch_size: 4 input ${tensor('x', '1', 'reshape { shape: [ ] }')} output ${tensor('y', '1')}`,
    )
    await folder.write('pushed/model.onnx', identityModel('FP32', ['n']))
    await assert.rejects(
      readPackage({ name: 'pushed', version: '1', path: join(folder.path, 'pushed') }),
      /line 1: "y" has shape \[-1, 1\]/,
    )
  })

  it('says by name and line why a model is not served, and serves the others', async () => {
    const told = server.failures.map(({ message }) => message)
    const expected: Readonly<Record<string, RegExp>> = {
      gpu: /gpu\/config\.pbtxt: line 2: instance_group: KIND_GPU: this release runs models on the CPU only/,
      other: /other\/config\.pbtxt: line 2: "x" has shape \[-1, 5\] \(rows, and its dims\), and \[-1, 4\] in the model file/,
      typed: /typed\/config\.pbtxt: line 2: "x" is TYPE_INT32, and TYPE_FP32 in the model file/,
      renamed: /renamed\/config\.pbtxt: the model also has "x", which no input \{\} describes/,
      fixed: /fixed\/config\.pbtxt: max_batch_size is 8, and input "x" of the model has no free first dimension: it is \[2, 4\]/,
      optional: /optional\/config\.pbtxt: line 2: "x" is optional, and the model has no value for it/,
      unlabelled: /unlabelled\/config\.pbtxt: line 1: label_filename: .*\/no\.txt: no such file/,
      named: /named\/config\.pbtxt: line 1: default_model_filename: .*\/named\/1 has no "mine\.onnx"/,
      misled: /misled/,
      cold: /cold/,
    }
    for (const [name, message] of Object.entries(expected))
      assert.ok(
        told.some((text) => text.includes(`model "${name}" version 1`) && message.test(text)),
        `${name}: ${told.join('\n')}`,
      )
    assert.equal(told.length, Object.keys(expected).length)
    const { skipped } = (await (await fetch(`${server.url}/health`)).json()) as { skipped: { path: string; reason: string }[] }
    const reason = (name: string): string | undefined => skipped.find(({ path }) => path.endsWith(`/${name}`))?.reason
    assert.match(reason('python') ?? '', /python\/config\.pbtxt: line 2: backend: "python" is not served here/)
  })
})
