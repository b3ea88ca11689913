import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { startServer } from '../../src/server/start-server.ts'
import { ask } from '../asking.ts'
import { CUSTOMER, example, post } from '../fixtures.ts'
import { servedModels } from './served-models.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

let folder: TemporaryFolder
let server: SlipwayServer
before(async () => {
  folder = await servedModels()
  await folder.write('broken/1/model.onnx', 'no model')
  server = await startServer({
    models: [{ path: folder.path }, { path: example('churn') }, { path: example('digits') }],
    port: 0,
    versions: 'all',
    dialects: 'tfserving',
  })
})
after(async () => {
  await server.close()
  await folder[Symbol.asyncDispose]()
})

const call = (path: string, body: unknown): ReturnType<typeof post> => post(`${server.url}/v1/models/${path}`, body)
/** The answer as it was written. */
const written = async (path: string, body: string): Promise<string> => (await ask(`${server.url}/v1/models/${path}`, { body })).text
const get = async (path: string): Promise<readonly [number, Record<string, unknown>]> => {
  const response = await fetch(`${server.url}/v1/models/${path}`)
  return [response.status, (await response.json()) as Record<string, unknown>]
}

describe('tfserving predicts', () => {
  it('the documented example, byte for byte', async () => {
    assert.equal(await written('half_plus_two:predict', '{"instances": [1.0, 2.0, 5.0]}'), '{"predictions":[2.5,3.0,4.5]}')
    assert.equal(await written('half_plus_two:predict', '{"inputs": [1.0, 2.0, 5.0]}'), '{"outputs":[2.5,3.0,4.5]}')
    assert.equal(await written('half_plus_two:predict', '{"instances": [[1.0], [2.0]]}'), '{"predictions":[[2.5],[3.0]]}')
    assert.equal(await written('half_plus_two:predict', '{"inputs": {"x": [[1.0], [2.0]]}}'), '{"outputs":[[2.5],[3.0]]}')
    assert.equal(await written('half_plus_two:predict', '{"inputs": {"x": [1.0, 2.0]}}'), '{"outputs":[2.5,3.0]}')
    assert.equal(await written('half_plus_two:predict', '{"instances": [{"x": 1.0}, {"x": 2.0}]}'), '{"predictions":[2.5,3.0]}')
  })

  it('rows and columns of several inputs, with every digit, and with bytes where a name says so', async () => {
    const number = '9007199254740993'
    assert.equal(
      await written('several:predict', `{"instances":[{"number":${number},"words":["a",{"b64":"Yg=="}]},{"number":-1,"words":["c","d"]}]}`),
      `{"predictions":[{"same":${number},"words_bytes":[{"b64":"YQ=="},{"b64":"Yg=="}]},{"same":-1,"words_bytes":[{"b64":"Yw=="},{"b64":"ZA=="}]}]}`,
    )
    assert.equal(
      await written('several:predict', `{"signature_name":"serving_default","inputs":{"number":[${number}],"words":[["a","b"]]}}`),
      `{"outputs":{"same":[${number}],"words_bytes":[[{"b64":"YQ=="},{"b64":"Yg=="}]]}}`,
    )
  })

  it('NaN and the infinities as bare words, and floats with their own digits', async () => {
    assert.equal(
      await written('wide:predict', '{"instances":[[NaN,Infinity,-Infinity,0.2,0.1234567,9000000,-0.0,1e-7]]}'),
      '{"predictions":[[NaN,Infinity,-Infinity,0.2,0.123456702,9000000.0,-0.0,1e-7]]}',
    )
  })

  it('people’s rows and pictures, too: outputs are the tensors of the model', async () => {
    const { body } = await call('churn:predict', { instances: [CUSTOMER] })
    const [row] = body['predictions'] as readonly Record<string, unknown>[]
    assert.equal(Object.keys(row ?? {}).length, 2, JSON.stringify(body))
    const b64 = (await readFile(`${example('digits')}/digit-7.png`)).toString('base64')
    const { status } = await call('digits:predict', { instances: [{ image_bytes: { b64 } }, { b64 }] })
    assert.equal(status, 200)
  })

  it('with a version that is named, or the newest', async () => {
    const body = { instances: [0] }
    for (const [path, prediction] of [
      ['half_plus_two:predict', 2],
      ['half_plus_two/versions/1:predict', 1],
      ['half_plus_two/versions/2:predict', 2],
      ['half_plus_two/labels/v1:predict', 1],
    ] as const)
      assert.deepEqual((await call(path, body)).body, { predictions: [prediction] }, path)
  })

  for (const [what, path, body, status, message] of [
    [
      'an unknown signature',
      'wide:predict',
      { signature_name: 'other', instances: [[1]] },
      400,
      /there is no signature "other"; models have "serving_default"/,
    ],
    [
      'a signature of another method',
      'wide:predict',
      { signature_name: 'tensorflow/serving/classify', instances: [[1]] },
      400,
      /no signature/,
    ],
    ['a signature that is no text', 'wide:predict', { signature_name: 1, instances: [[1]] }, 400, /signature_name: expected a text/],
    ['rows and columns at once', 'wide:predict', { instances: [[1]], inputs: [[1]] }, 400, /inputs: there is "instances" already/],
    ['neither', 'wide:predict', {}, 400, /the body has no "instances" or "inputs"/],
    ['no rows', 'wide:predict', { instances: [] }, 400, /instances: there are no rows/],
    ['an unknown key', 'wide:predict', { instances: [[1]], instance: 1 }, 400, /instance: unknown key/],
    ['a null', 'wide:predict', { instances: [[null]] }, 400, /expected a number/],
    ['another datatype', 'several:predict', { instances: [{ number: 1.5, words: ['a', 'b'] }] }, 400, /expected an integer, found 1\.5/],
    ['another shape', 'half_plus_two:predict', { instances: [[1, 2]] }, 400, /has shape \[1, 2\]/],
    ['a missing input', 'several:predict', { inputs: { number: [1] } }, 400, /inputs\.words: missing/],
    [
      'an unknown input',
      'several:predict',
      { inputs: { numbers: [1] } },
      400,
      /inputs\.numbers: the model has no such input; it has number, words/,
    ],
    ['an unknown model', 'nobody:predict', { instances: [1] }, 404, /no model "nobody"/],
    ['an unknown version', 'half_plus_two/versions/9:predict', { instances: [1] }, 404, /9/],
    [
      'an unknown label',
      'half_plus_two/labels/canary:predict',
      { instances: [1] },
      400,
      /has the label "canary"; labels are names of variants: v/,
    ],
    ['a model that could not be loaded', 'broken:predict', { instances: [1] }, 503, /not ready/],
  ] as const)
    it(`answers ${status} in its own form for ${what}`, async () => {
      const answered = await call(path, body)
      assert.equal(answered.status, status, JSON.stringify(answered.body))
      assert.deepEqual(Object.keys(answered.body), ['error'])
      assert.match(String(answered.body['error']), message)
    })
})

describe('tfserving classifies and regresses', () => {
  it('examples, with what they share in the context', async () => {
    const { plan, ...rest } = CUSTOMER
    const { status, body } = await call('churn:classify', { context: { plan }, examples: [rest, { ...rest, tenure_months: [60] }] })
    assert.equal(status, 200, JSON.stringify(body))
    const results = body['results'] as readonly (readonly (readonly [string, number])[])[]
    assert.deepEqual(
      results.map((classes) => classes.map(([label]) => label)),
      [
        ['stays', 'churn'],
        ['stays', 'churn'],
      ],
    )
    for (const [stays, churn] of results) assert.ok(Math.abs(stays![1] + churn![1] - 1) < 1e-5)
    const text = await written(
      'half_plus_two:regress',
      '{"signature_name":"tensorflow/serving/regress","examples":[{"x":1.0},{"x":[2.0]}]}',
    )
    assert.equal(text, '{"results":[2.5,3.0]}')
  })

  for (const [what, path, body, message] of [
    [
      'a model whose answers are numbers',
      'half_plus_two:classify',
      { examples: [{ x: 1 }] },
      /:classify needs a classification with probabilities/,
    ],
    ['a model whose answers are classes', 'churn:regress', { examples: [CUSTOMER] }, /:regress needs a regression/],
    ['no examples', 'half_plus_two:regress', { instances: [1] }, /instances: unknown key; expected "examples"/],
    ['an empty list', 'half_plus_two:regress', { examples: [] }, /examples: there are no rows/],
    ['an example that is no object', 'half_plus_two:regress', { examples: [1] }, /examples\[0\]: expected an object/],
    ['a feature that is none', 'half_plus_two:regress', { examples: [{ y: 1 }] }, /the model has no such input/],
  ] as const)
    it(`answers 400 for ${what}`, async () => {
      const answered = await call(path, body)
      assert.equal(answered.status, 400, JSON.stringify(answered.body))
      assert.match(String(answered.body['error']), message)
    })
})

describe('tfserving tells', () => {
  const available = (version: string): object => ({ version, state: 'AVAILABLE', status: { error_code: 'OK', error_message: '' } })

  it('the state of each version, newest first', async () => {
    assert.deepEqual(await get('half_plus_two'), [200, { model_version_status: [available('2'), available('1')] }])
    assert.deepEqual(await get('half_plus_two/versions/1'), [200, { model_version_status: [available('1')] }])
    assert.deepEqual(await get('half_plus_two/labels/v2'), [200, { model_version_status: [available('2')] }])
    assert.equal((await get('half_plus_two/versions/9'))[0], 404)
    assert.equal((await get('nobody'))[0], 404)
  })

  it('why a version has ended', async () => {
    const [status, body] = await get('broken')
    const [version] = body['model_version_status'] as readonly { readonly state: string; readonly status: Record<string, string> }[]
    assert.deepEqual([status, version?.state, version?.status['error_code']], [200, 'END', 'FAILED_PRECONDITION'])
    assert.match(version?.status['error_message'] ?? '', /not.*ONNX/i)
  })

  it('that a model was unloaded on request', async () => {
    await server.repository.unload('wide')
    const ended = [{ version: '1', state: 'END', status: { error_code: 'OK', error_message: '' } }]
    assert.deepEqual(await get('wide'), [200, { model_version_status: ended }])
    await server.repository.load('wide')
    assert.deepEqual(await get('wide'), [200, { model_version_status: [available('1')] }])
  })

  it('the signature of a version, as TensorFlow writes it', async () => {
    const tensor = (name: string, dtype: string, dim: readonly object[]): object => ({
      name,
      dtype,
      tensor_shape: { dim, unknown_rank: false },
    })
    const batch = { size: '-1', name: 'batch' }
    const two = { size: '2', name: '' }
    assert.deepEqual(await get('several/versions/1/metadata'), [
      200,
      {
        model_spec: { name: 'several', signature_name: '', version: '1' },
        metadata: {
          signature_def: {
            signature_def: {
              serving_default: {
                inputs: { number: tensor('number', 'DT_INT64', [batch]), words: tensor('words', 'DT_STRING', [batch, two]) },
                outputs: { same: tensor('same', 'DT_INT64', [batch]), words_bytes: tensor('words_bytes', 'DT_STRING', [batch, two]) },
                method_name: 'tensorflow/serving/predict',
              },
            },
          },
        },
      },
    ])
    assert.equal(((await get('half_plus_two/metadata'))[1]['model_spec'] as { version: string }).version, '2')
    assert.equal((await get('nobody/metadata'))[0], 404)
  })

  it('metrics at the address where they are looked for', async () => {
    const response = await fetch(`${server.url}/monitoring/prometheus/metrics`)
    assert.equal(response.status, 200)
    assert.ok((await response.text()).includes('protocol="tfserving"'))
  })

  it('which method of which path there is', async () => {
    assert.equal((await fetch(`${server.url}/v1/models/wide:predict`)).status, 405)
    const unknown = await post(`${server.url}/v1/models/wide:train`, {})
    assert.deepEqual([unknown.status, Object.keys(unknown.body)], [404, ['error']])
  })
})
