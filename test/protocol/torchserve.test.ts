/** What TorchServe's own frontend, release 0.12.0, answers to these calls was looked up by asking it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { startServer } from '../../src/server/start-server.ts'
import { buildModel, node, value } from '../onnx/build-model.ts'
import { CUSTOMER, example, freePort } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { halfPlusTwo, servedModels } from './served-models.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const TOKEN = '0123456789abcdef0123456789abcdef'

interface Answered {
  readonly status: number
  readonly type: string | null
  readonly text: string
}

async function send(url: string, init: RequestInit = {}): Promise<Answered> {
  const response = await fetch(url, init)
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
}

/** Status and the words of an error. */
function told({ status, text }: Answered): readonly [number, unknown, unknown, string] {
  const { code, type, message, ...more } = JSON.parse(text) as Record<string, unknown>
  assert.deepEqual(more, {}, text)
  return [status, code, type, String(message)]
}

const json = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: typeof body === 'string' ? body : JSON.stringify(body),
})

describe('torchserve', () => {
  let folder: TemporaryFolder
  let server: SlipwayServer
  before(async () => {
    folder = await servedModels()
    const text = value('text', 'BYTES', ['batch'])
    await folder.write(
      'echo/1/model.onnx',
      buildModel({ input: [text], output: [value('same', 'BYTES', ['batch'])], node: [node('Identity', ['text'], ['same'])] }),
    )
    server = await startServer({
      models: [{ path: folder.path }, { path: example('churn') }, { path: example('digits') }],
      port: 0,
      versions: 'all',
      dialects: 'torchserve',
    })
  })
  after(async () => {
    await server.close()
    await folder[Symbol.asyncDispose]()
  })
  const predict = (model: string, init: RequestInit): Promise<Answered> => send(`${server.url}/predictions/${model}`, init)

  it('is healthy', async () => {
    const { status, text } = await send(`${server.url}/ping`)
    assert.deepEqual([status, JSON.parse(text)], [200, { status: 'Healthy' }])
  })

  it('answers a row with its classes, the likeliest first, and a list with a list', async () => {
    const one = await predict('churn', json(CUSTOMER))
    assert.equal(one.status, 200, one.text)
    assert.match(one.text, /^\{"churn":0\.\d+,"stays":0\.\d+\}$/)
    assert.equal((await predict('churn', json([CUSTOMER, CUSTOMER]))).text, `[${one.text},${one.text}]`)
    assert.equal((await predict('churn', json({ inputs: [CUSTOMER] }))).text, `[${one.text}]`)
    assert.equal((await predict('churn', { ...json(CUSTOMER), method: 'PUT' })).text, one.text)
    const form = new FormData()
    form.set('data', JSON.stringify(CUSTOMER))
    assert.equal((await predict('churn', { method: 'POST', body: form })).text, one.text)
  })

  it('takes pictures as curl sends them: as a file, as the body, by PUT and by POST', async () => {
    const picture = join(example('digits'), 'digit-7.png')
    const url = `${server.url}/predictions/digits`
    const { stdout: put } = await promisify(execFile)('curl', ['-s', url, '-T', picture])
    const classes = Object.entries(JSON.parse(put) as Record<string, number>)
    assert.equal(classes.length, 5, put)
    assert.match(put, /^\{"7":/)
    const { stdout: form } = await promisify(execFile)('curl', ['-s', url, '-F', `data=@${picture}`])
    assert.equal(form, put)
    const { stdout: post } = await promisify(execFile)('curl', ['-s', '-X', 'POST', url, '-T', picture])
    assert.equal(post, put)
    const b64 = (await readFile(picture)).toString('base64')
    assert.equal((await predict('digits', json({ image: b64 }))).text, put)
  })

  it('takes and gives texts as they are', async () => {
    for (const [init, sent] of [
      [{ method: 'POST', headers: { 'content-type': 'text/plain' }, body: '[a text' }, '[a text'],
      [{ method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: 'größer' }, 'größer'],
      [json('"a \\"text\\""'), 'a "text"'],
    ] as const) {
      const { status, type, text } = await predict('echo', init)
      assert.deepEqual([status, type, text], [200, 'text/plain; charset=utf-8', sent])
    }
    const form = new FormData()
    form.set('data', 'in a form')
    assert.equal((await predict('echo', { method: 'POST', body: form })).text, 'in a form')
  })

  it('answers numbers and tensors as JSON, with every digit', async () => {
    assert.equal((await predict('half_plus_two', json('1'))).text, '2.5')
    assert.equal((await predict('half_plus_two/1', json('[[1],[2]]'))).text, '[1.5,2]')
    assert.equal((await predict('wide', json('[[1,2],[3,4]]'))).text, '[[1,2],[3,4]]')
    const several = await predict('several', json('{"number":9007199254740993,"words":["a","b"]}'))
    assert.equal(several.text, '{"same":9007199254740993,"words_bytes":["a","b"]}')
  })

  for (const [what, path, init, status, type, message] of [
    ['an unknown model', 'nobody', json('1'), 404, 'ModelNotFoundException', /nobody/],
    ['an unknown model with a version', 'nobody/1.0', json('1'), 404, 'ModelNotFoundException', /nobody/],
    ['an unknown version', 'wide/9.9', json('1'), 404, 'ModelVersionNotFoundException', /has no version "9\.9"; there are 1/],
    ['broken JSON', 'wide', json('['), 400, 'BadRequestException', /JSON body/],
    ['another shape', 'half_plus_two', json('[[1,2]]'), 400, 'BadRequestException', /inputs\[0\]/],
    ['a missing feature', 'churn', json({ plan: 'basic' }), 400, 'BadRequestException', /tenure_months: missing/],
    ['an unknown feature', 'churn', json({ ...CUSTOMER, plans: 1 }), 400, 'BadRequestException', /did you mean "plan"/],
    ['a body of instances', 'wide', json({ instances: [[1]] }), 400, 'BadRequestException', /"instances" belongs to/],
    ['nothing', 'wide', { method: 'POST' }, 400, 'BadRequestException', /the body is empty/],
    [
      'bytes that are no text',
      'echo',
      { method: 'POST', headers: { 'content-type': 'text/plain' }, body: Buffer.of(0xff) },
      400,
      'BadRequestException',
      /not UTF-8/,
    ],
    [
      'a type that is not read',
      'wide',
      { method: 'POST', headers: { 'content-type': 'application/xml' }, body: 'a' },
      415,
      'BadRequestException',
      /xml/,
    ],
  ] as const)
    it(`answers ${status} ${type} for ${what}`, async () => {
      const [found, code, name, said] = told(await predict(path, init))
      assert.deepEqual([found, code, name], [status, status, type], said)
      assert.match(said, message)
    })

  it('has no explanations, and says so', async () => {
    assert.deepEqual(told(await send(`${server.url}/explanations/wide`, json('1'))).slice(0, 3), [501, 501, 'NotImplementedException'])
    assert.equal(told(await send(`${server.url}/explanations/nobody`, json('1')))[2], 'ModelNotFoundException')
  })

  it('answers other methods and paths below its own in its form', async () => {
    assert.deepEqual(told(await send(`${server.url}/predictions/wide`)).slice(0, 3), [405, 405, 'MethodNotAllowedException'])
    assert.deepEqual(told(await send(`${server.url}/predictions`)).slice(0, 3), [404, 404, 'ResourceNotFoundException'])
  })
})

it('a server of torchserve that cannot answer is not healthy', async () => {
  await using folder = await temporaryFolder()
  await folder.write('broken/1/model.onnx', 'no model')
  await folder.write('fine/1/model.onnx', halfPlusTwo())
  await using server = await startServer({ models: [{ path: folder.path }], port: 0, dialects: 'torchserve' })
  assert.deepEqual(told(await send(`${server.url}/predictions/broken`, json('1'))).slice(0, 3), [503, 503, 'ServiceUnavailableException'])
  server.dataPlane.announceDrain()
  const { status, text } = await send(`${server.url}/ping`)
  assert.deepEqual([status, JSON.parse(text)], [500, { status: 'Unhealthy' }])
})

describe('torchserve-management', () => {
  let folder: TemporaryFolder
  let server: SlipwayServer
  let models: string
  before(async () => {
    folder = await temporaryFolder()
    await folder.write('served/half/1/model.onnx', halfPlusTwo(1))
    await folder.write('served/half/2/model.onnx', halfPlusTwo(2))
    await folder.write('store/more.onnx', halfPlusTwo(3))
    await folder.write('store/broken.onnx', 'no model')
    await folder.write('elsewhere/other.onnx', halfPlusTwo(4))
    const port = await freePort()
    server = await startServer({
      models: [{ path: join(folder.path, 'served') }],
      modelRoots: [join(folder.path, 'store')],
      port: 0,
      versions: 'all',
      serving: { instances: 1 },
      dialects: `torchserve,torchserve-management@${port}`,
      environment: { SLIPWAY_ADMIN_TOKEN: TOKEN },
    })
    models = `http://127.0.0.1:${port}/models`
  })
  after(async () => {
    await server.close()
    await folder[Symbol.asyncDispose]()
  })

  const call = (method: string, path: string, init: RequestInit = {}): Promise<Answered> =>
    send(models + path, { ...init, method, headers: { authorization: `Bearer ${TOKEN}`, ...(init.headers as object) } })
  const status = async (method: string, path: string, init?: RequestInit): Promise<readonly [number, unknown]> => {
    const answered = await call(method, path, init)
    return [answered.status, (JSON.parse(answered.text) as Record<string, unknown>)['status']]
  }
  const predict = async (path: string): Promise<string> => (await send(`${server.url}/predictions/${path}`, json('0'))).text
  const described = async (path: string): Promise<Record<string, unknown>[]> =>
    JSON.parse((await call('GET', path)).text) as Record<string, unknown>[]
  const workers = async (path: string): Promise<readonly unknown[]> =>
    ((await described(path))[0]!['workers'] as readonly Record<string, unknown>[]).map((worker) => worker['status'])

  it('is for administrators', async () => {
    assert.deepEqual(told(await send(models)).slice(0, 3), [401, 401, 'InvalidKeyException'])
    assert.deepEqual(told(await send(models, { headers: { authorization: 'Bearer nothing' } })).slice(0, 3), [
      401,
      401,
      'InvalidKeyException',
    ])
  })

  it('registers, lists, describes and unregisters a model', async () => {
    const path = join(folder.path, 'store/more.onnx')
    assert.deepEqual(
      await status('POST', '?url=more.onnx&initial_workers=2&batch_size=8&max_batch_delay=3&response_timeout=9&synchronous=true'),
      [200, 'Model "more" Version: 1 registered with 2 initial workers'],
    )
    assert.equal(await predict('more'), '3')
    const [model] = await described('/more')
    const { workers: _, ...rest } = model!
    assert.deepEqual(rest, {
      modelName: 'more',
      modelVersion: '1',
      modelUrl: path,
      runtime: 'onnxruntime_onnx',
      minWorkers: 2,
      maxWorkers: 2,
      batchSize: 8,
      maxBatchDelay: 3,
      responseTimeout: 9,
      loadedAtStartup: true,
      jobQueueStatus: { remainingCapacity: 1000, pendingRequests: 0 },
    })
    assert.deepEqual(await workers('/more'), ['READY', 'READY'])
    assert.deepEqual(told(await call('POST', '?url=more.onnx')).slice(0, 3), [409, 409, 'ConflictStatusException'])
    const all = [
      { modelName: 'half', modelUrl: join(folder.path, 'served') },
      { modelName: 'more', modelUrl: path },
    ]
    assert.deepEqual(JSON.parse((await call('GET', '')).text), { models: all })
    assert.deepEqual(JSON.parse((await call('GET', '?limit=1')).text), { nextPageToken: '1', models: all.slice(0, 1) })
    assert.deepEqual(JSON.parse((await call('GET', '?limit=1&next_page_token=1')).text), { models: all.slice(1) })
    assert.deepEqual(await status('DELETE', '/more/1'), [200, 'Model "more" unregistered'])
    assert.equal((await call('GET', '/more')).status, 404)
    const body = JSON.stringify({ url: `file://${path}`, model_name: 'again', initial_workers: 1, synchronous: false })
    assert.deepEqual(await status('POST', '', { headers: { 'content-type': 'application/json' }, body }), [
      200,
      'Model "again" Version: 1 registered with 1 initial workers',
    ])
    assert.deepEqual(await status('DELETE', '/again'), [200, 'Model "again" unregistered'])
  })

  it('describes each version, and changes the one that requests go to', async () => {
    assert.deepEqual(
      (await described('/half/all')).map((model) => model['modelVersion']),
      ['1', '2'],
    )
    assert.equal((await described('/half/1'))[0]!['modelVersion'], '1')
    assert.equal(await predict('half'), '2')
    assert.deepEqual(await status('PUT', '/half/1/set-default'), [200, 'Default version successfully updated for model "half" to "1"'])
    assert.equal(await predict('half'), '1')
    assert.equal((await described('/half'))[0]!['modelVersion'], '1')
    assert.deepEqual(told(await call('PUT', '/half/7/set-default')).slice(0, 3), [404, 404, 'ModelVersionNotFoundException'])
    assert.equal(told(await call('DELETE', '/half/1'))[2], 'ConflictStatusException')
    await call('PUT', '/half/2/set-default')
  })

  it('scales a model without losing a request', async () => {
    const scaled = new AbortController()
    const answers = new Set<string>()
    const asking = (async () => {
      while (!scaled.signal.aborted) answers.add(await predict('half'))
    })()
    assert.deepEqual(await status('PUT', '/half?min_worker=3&max_worker=3&synchronous=true'), [200, 'Workers scaled to 3 for model: half'])
    assert.deepEqual(await workers('/half'), ['READY', 'READY', 'READY'])
    assert.deepEqual(await status('PUT', '/half'), [200, 'Workers scaled to 1 for model: half'])
    scaled.abort()
    await asking
    assert.deepEqual([...answers], ['2'])
    assert.deepEqual(await workers('/half'), ['READY'])
  })

  it('goes on as before where a model cannot be scaled', async () => {
    const path = join(folder.path, 'store/fragile.onnx')
    await folder.write('store/fragile.onnx', halfPlusTwo(5))
    await call('POST', '?url=fragile.onnx&initial_workers=1')
    await folder.write('store/fragile.onnx', 'no model any more')
    assert.deepEqual(told(await call('PUT', '/fragile?min_worker=2')).slice(0, 3), [400, 400, 'InvalidModelException'])
    assert.deepEqual([await predict('fragile'), await workers('/fragile')], ['5', ['READY']], path)
    await call('DELETE', '/fragile')
  })

  for (const [what, method, path, found, type, message] of [
    ['no url', 'POST', '', 400, 'BadRequestException', /url is required/],
    [
      'an archive',
      'POST',
      '?url=squeezenet1_1.mar',
      400,
      'InvalidModelException',
      /is an archive of TorchServe; convert the model in it: .*torch\.onnx\.export/,
    ],
    ['a handler', 'POST', '?url=more.onnx&handler=image_classifier', 501, 'NotImplementedException', /parameter handler/],
    ['another machine', 'POST', '?url=https://127.0.0.1/more.onnx', 501, 'NotImplementedException', /not over https/],
    ['a file that is not there', 'POST', '?url=none.onnx', 404, 'ModelNotFoundException', /none\.onnx/],
    ['a file outside', 'POST', '?url=../elsewhere/other.onnx', 404, 'ModelNotFoundException', /outside the served folders/],
    ['an address of no file', 'POST', '?url=file://%25', 400, 'BadRequestException', /names no file of this machine/],
    ['an address with a broken escape', 'POST', '?url=file:///a%25zz', 400, 'BadRequestException', /names no file of this machine/],
    ['a file that is no model', 'POST', '?url=broken.onnx', 400, 'InvalidModelException', /not an ONNX model/],
    ['a name that is none', 'POST', '?url=more.onnx&model_name=a/b', 400, 'BadRequestException', /a\/b/],
    ['a number that is none', 'POST', '?url=more.onnx&batch_size=x', 400, 'BadRequestException', /batch_size: expected a whole number/],
    [
      'too many workers',
      'POST',
      '?url=more.onnx&initial_workers=99999',
      400,
      'BadRequestException',
      /initial_workers: expected a whole number from 0 to/,
    ],
    ['a parameter that is not known', 'POST', '?url=more.onnx&workers=1', 400, 'BadRequestException', /workers is not known; expected url/],
    ['a parameter twice', 'POST', '?url=a.onnx&url=b.onnx', 400, 'BadRequestException', /url: given twice/],
    ['a description of nothing', 'GET', '/nobody', 404, 'ModelNotFoundException', /nobody/],
    ['a version that is not there', 'GET', '/half/9', 404, 'ModelVersionNotFoundException', /has no version "9"/],
    ['fewer at most than at least', 'PUT', '/half?min_worker=2&max_worker=1', 400, 'BadRequestException', /max_worker cannot be less/],
    ['no workers', 'PUT', '/half?min_worker=0', 501, 'NotImplementedException', /DELETE takes it out of service/],
    ['a GPU', 'PUT', '/half?number_gpu=1', 501, 'NotImplementedException', /number_gpu/],
    ['scaling nothing', 'PUT', '/nobody?min_worker=1', 404, 'ModelNotFoundException', /nobody/],
    ['unregistering nothing', 'DELETE', '/nobody', 404, 'ModelNotFoundException', /nobody/],
    ['a page that is none', 'GET', '?limit=x', 400, 'BadRequestException', /limit: expected a whole number/],
  ] as const)
    it(`answers ${found} ${type} for ${what}`, async () => {
      const [status_, code, name, said] = told(await call(method, path))
      assert.deepEqual([status_, code, name], [found, found, type], said)
      assert.match(said, message)
    })
})
