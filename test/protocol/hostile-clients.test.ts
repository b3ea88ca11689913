import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { authority } from '../certificates.ts'
import { CUSTOMER, post, serveExamples, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Socket } from 'node:net'
import type { SlipwayServer } from '../../src/server/start-server.ts'

/** Sends bytes and gives back what the server said until it closed the connection or the time was over. */
function converse(port: number, send: (socket: Socket) => void, limitMs = 8000): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => send(socket))
    let heard = ''
    const end = (): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(heard)
    }
    const timer = setTimeout(end, limitMs)
    socket.on('data', (chunk) => {
      heard += chunk.toString('latin1')
    })
    socket.on('close', end)
    socket.on('error', end)
  })
}

describe('a client that misbehaves', () => {
  let server: SlipwayServer
  before(async () => {
    server = await serveExamples(['churn'], {
      serving: { instances: 1 },
      limits: { bodyBytes: 1_000_000, discardBytes: 2_000_000, bodyTimeoutMs: 1000 },
    })
  })
  after(() => server.close())

  const stillServes = async (): Promise<void> => assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)

  it('that sends half a body and falls silent gets a 408, and holds no place in the queue', async () => {
    const heard = await converse(server.port, (socket) =>
      socket.write('POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"a":'),
    )
    assert.match(heard, /^HTTP\/1\.1 408/)
    await stillServes()
  })

  it('that goes away in the middle of its body is forgotten', async () => {
    for (let index = 0; index < 20; index++) {
      await converse(server.port, (socket) => {
        socket.write('POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500\r\n\r\n{"a":')
        setTimeout(() => socket.destroy(), 10)
      })
    }
    await stillServes()
  })

  it('that speaks no HTTP gets one 400', async () => {
    assert.match(await converse(server.port, (socket) => socket.write('\u0000\u0001\u0002 hello\r\n\r\n')), /^HTTP\/1\.1 400/)
    await stillServes()
  })

  it('that sends a header larger than the limit gets a 431', async () => {
    assert.match(
      await converse(server.port, (socket) =>
        socket.write(`GET /health HTTP/1.1\r\nhost: localhost\r\nx-long: ${'a'.repeat(40_000)}\r\n\r\n`),
      ),
      /^HTTP\/1\.1 431/,
    )
    await stillServes()
  })

  it('that announces too large a body gets a 413 before it has sent it', async () => {
    const heard = await converse(
      server.port,
      (socket) => socket.write('POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000000000\r\n\r\n'),
      3000,
    )
    assert.match(heard, /^HTTP\/1\.1 413/)
    await stillServes()
  })

  it('that sends more than it may, in chunks, gets a 413', async () => {
    const heard = await converse(
      server.port,
      (socket) => {
        socket.write('POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n')
        for (let index = 0; index < 30; index++) socket.write(`10000\r\n${'x'.repeat(65_536)}\r\n`)
      },
      3000,
    )
    assert.match(heard, /^HTTP\/1\.1 413/)
    await stillServes()
  })

  it('that expects 100-continue is told to go on, or refused before it sends', async () => {
    const body = JSON.stringify(CUSTOMER)
    const taken = await converse(server.port, (socket) => {
      socket.write(
        `POST /predict HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: ${body.length}\r\n\r\n`,
      )
      socket.once('data', () => socket.write(body))
    })
    assert.match(taken, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200/)
    const refused = await converse(
      server.port,
      (socket) => socket.write('POST /predict HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5000000\r\n\r\n'),
      3000,
    )
    assert.match(refused, /^HTTP\/1\.1 413/)
    await stillServes()
  })

  it('that sends malformed paths gets an answer and harms nobody', async () => {
    for (const path of [
      '/%',
      '/v2/models/%00/infer',
      '/v2/models/%E0%A4%A/infer',
      `/v2/models/${'a'.repeat(4000)}`,
      '/models/..%2f..%2fetc/predict',
      '//predict',
    ]) {
      const heard = await converse(
        server.port,
        (socket) => socket.write(`POST ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`),
        3000,
      )
      assert.match(heard, /^HTTP\/1\.1 4\d\d/, path)
    }
    await stillServes()
  })

  it('that names a datatype twice cannot bring a batch down', async () => {
    const body = '{"inputs":[{"name":"customers","shape":[1,10],"datatype":"INT64","data":[1,2,3,4,5,6,7,8,9,10],"datatype":"FP32"}]}'
    const one = `POST /v2/models/churn/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const heard = await converse(server.port, (socket) => socket.write(one + one), 1500)
    assert.deepEqual(
      [...heard.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1]),
      ['400', '400'],
    )
    await stillServes()
  })

  it('that asks for what every object has by nature finds nothing', async () => {
    for (const path of ['/docs/constructor', '/docs/__proto__', '/models/__proto__/example'])
      assert.equal((await fetch(server.url + path)).status, 404)
    assert.equal((await post(`${server.url}/predict`, { ...CUSTOMER, plan: {} })).status, 400)
  })

  it('that asks in a dialect that is off is told how it is turned on', async () => {
    const kserve = 'KServe v1 (--dialects v2,predict,grpc,kserve-v1)'
    const tensorflow = 'TensorFlow Serving (--dialects v2,predict,grpc,tfserving)'
    for (const [method, path, ways] of [
      ['POST', '/v1/models/churn:predict', `${kserve}, or of ${tensorflow}`],
      ['POST', '/v1/models/churn/versions/3:predict', tensorflow],
      ['GET', '/v1/models', kserve],
      ['POST', '/predictions/churn/1.0', 'TorchServe (--dialects v2,predict,grpc,torchserve)'],
      ['POST', '/invocations', 'MLflow (--dialects v2,predict,grpc,mlflow), or of SageMaker (--dialects v2,predict,grpc,sagemaker)'],
    ] as const) {
      const response = await fetch(server.url + path, { method })
      assert.equal(response.status, 404, path)
      const { error } = (await response.json()) as { readonly error: string }
      assert.ok(error.includes(`that route is of ${ways}, which this server was not told to speak`), error)
    }
    const root = (await (await fetch(server.url)).json()) as { readonly error: string }
    assert.match(root.error, /no route GET \/; see \/docs/)
  })

  it('that pipelines requests gets its answers in order', async () => {
    const one = (id: string): string => {
      const body = JSON.stringify(CUSTOMER)
      return `POST /predict HTTP/1.1\r\nhost: localhost\r\nx-request-id: ${id}\r\ncontent-type: application/json\r\n${id === 'c' ? 'connection: close\r\n' : ''}content-length: ${body.length}\r\n\r\n${body}`
    }
    const heard = await converse(server.port, (socket) => socket.write(one('a') + one('b') + one('c')))
    assert.deepEqual(
      [...heard.matchAll(/x-request-id: (\w)/g)].map((match) => match[1]),
      ['a', 'b', 'c'],
    )
  })
})

it('a client that closes its side after its request gets its answer, also after a wait and over TLS', async () => {
  await using folder = await temporaryFolder()
  const signer = await authority(folder.path)
  const { cert, key } = await signer.issue('server')
  const ca = await readFile(signer.cert, 'utf8')
  for (const tls of [undefined, { cert, key }]) {
    await using server = await serveExamples(['digits'], {
      serving: { instances: 1, inlineMaxUs: 0, maxBatchSize: 1 },
      ...(tls !== undefined && { tls }),
    })
    const body = (rows: number): string =>
      JSON.stringify({
        inputs: [{ name: 'pixels', datatype: 'FP32', shape: [rows, 64], data: Array.from({ length: rows * 64 }, () => 1) }],
      })
    const ask = async (rows: number, version = '1.1'): Promise<string> => {
      const socket = tls === undefined ? connect(server.port, '127.0.0.1') : connectTls({ port: server.port, host: '127.0.0.1', ca })
      const text = body(rows)
      socket.end(`POST /v2/models/digits/infer HTTP/${version}\r\nhost: localhost\r\ncontent-length: ${text.length}\r\n\r\n${text}`)
      let heard = ''
      for await (const chunk of socket) heard += String(chunk)
      return heard
    }
    assert.match(await ask(1), /^HTTP\/1\.1 200 /)
    assert.match(await ask(1, '1.0'), /^HTTP\/1\.1 200 /)
    // Each row is a run of its own, so that the answers wait for one another.
    const slow = await Promise.all(Array.from({ length: 12 }, () => ask(300)))
    for (const heard of slow) assert.match(heard, /^(HTTP\/1\.1 102 Processing\r\n\r\n){0,3}HTTP\/1\.1 200 /)
    assert.ok(slow.some((heard) => heard.startsWith('HTTP/1.1 102')))
    const old = await Promise.all(Array.from({ length: 12 }, () => ask(300, '1.0')))
    for (const heard of old) assert.match(heard, /^HTTP\/1\.1 200 /)
  }
})

it('a reader that stops reading is let go, and others are answered meanwhile', async () => {
  // Time enough for what is asked for here: an error is short, and nobody would have to wait for its reader.
  const serving = { instances: 1, queueRows: 1_000_000, requestTimeoutMs: 300_000 }
  await using server = await serveExamples(['churn'], { serving, limits: { stallMs: 1000 } })
  const row = [2, 95.5, 6, 1, 0, 0, 1, 0, 0, 1]
  const rows = 90_000
  const body = `{"inputs":[{"name":"customers","datatype":"FP32","shape":[${rows},10],"data":[${Array.from({ length: rows }, () => row.join()).join()}]}]}`
  let closed = false
  const socket = connect(server.port, '127.0.0.1', () => {
    socket.pause()
    // More answers than the buffers of the kernel hold.
    for (let request = 0; request < 3; request++)
      socket.write(`POST /v2/models/churn/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
  })
  socket.on('close', () => {
    closed = true
  })
  socket.on('error', () => {})
  assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)
  // A paused socket hears nothing of the reset until it writes.
  await until(
    () => {
      if (!socket.destroyed) socket.write('\r\n')
      return closed
    },
    'the stalled connection is closed',
    60_000,
  )
})

it('a client that keeps its side open after a 408 holds no place in the queue by that', async () => {
  await using server = await serveExamples(['churn'], { serving: { instances: 1 }, limits: { bodyTimeoutMs: 500 } })
  const { scheduler } = server.dataPlane.endpoint('churn').requireMain().requireReady()
  const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true }, () => {
    socket.write('POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{')
  })
  socket.on('error', () => {})
  let heard = ''
  socket.on('data', (chunk: Buffer) => (heard += chunk.toString()))
  await until(() => scheduler.reserved === 1, 'it holds a place')
  await until(() => heard.includes(' 408 '), 'it is told that it was too slow')
  await until(() => scheduler.reserved === 0, 'the place is free again')
  socket.destroy()
})

it('a client of HTTP/2, such as one of gRPC, is told in its own words that this port speaks HTTP/1.1', async () => {
  await using server = await serveExamples(['churn'], { serving: { instances: 1 } })
  const session = connectHttp2(server.url)
  session.on('error', () => {})
  const told = new Promise<[number, number, Buffer]>((resolve) => session.once('goaway', (...args) => resolve(args as never)))
  const closed = new Promise((resolve) => session.once('close', resolve))
  const request = session.request({
    ':method': 'POST',
    ':path': '/inference.GRPCInferenceService/ServerLive',
    'content-type': 'application/grpc',
  })
  request.on('error', () => {})
  const [code, , text] = await told
  assert.equal(code, constants.NGHTTP2_HTTP_1_1_REQUIRED)
  assert.match(text.toString(), /^this port speaks HTTP\/1\.1; gRPC has a port of its own \(--grpc-port.* POST \/v2\/models\/NAME\/infer$/)
  await closed
  assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)
})
