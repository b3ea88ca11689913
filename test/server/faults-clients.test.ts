import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { addingModel, WIDTH } from '../adding-models.ts'
import { serveInChild } from '../child-server.ts'
import { ROOT, until } from '../fixtures.ts'
import { keepAliveLoad } from '../keep-alive-load.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Socket } from 'node:net'
import type { ChildServer } from '../child-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

/** Idle connections, with some to spare for the rest of both processes. */
const IDLE = 10_000
const DESCRIPTORS = IDLE + 2000

/** Becomes what it is given with room for so many descriptors, or says that it cannot. */
const WITH_DESCRIPTORS = ['sh', '-c', `ulimit -n ${DESCRIPTORS} && exec "$0" "$@"`]

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))

function portOf(server: ChildServer): number {
  return Number(new URL(server.url).port)
}

function descriptorsOf(server: ChildServer): number {
  return readdirSync(`/proc/${server.pid}/fd`).length
}

/** Binary tensors of the Open Inference Protocol, asked for and given. */
function binaryQuestion(rows: number): { readonly head: string; readonly body: Buffer } {
  const head = JSON.stringify({
    inputs: [{ name: 'x', datatype: 'FP32', shape: [rows, WIDTH], parameters: { binary_data_size: rows * WIDTH * 4 } }],
    outputs: [{ name: 'y', parameters: { binary_data: true } }],
  })
  return { head, body: Buffer.concat([Buffer.from(head), Buffer.from(new Float32Array(rows * WIDTH).fill(3).buffer)]) }
}

describe('while others are asked and answered', () => {
  let folder: TemporaryFolder
  let server: ChildServer
  let descriptorsBefore = 0
  before(async () => {
    console.log(`seed ${SEED}`)
    folder = await temporaryFolder()
    await folder.write('models/a/model.onnx', addingModel(1))
    await folder.write('models/b/model.onnx', addingModel(2))
    const args = [
      join(folder.path, 'models'),
      '--instances',
      '1',
      '--body-timeout-ms',
      '2000',
      '--stall-ms',
      '1500',
      '--max-batch-size',
      '50000',
      '--queue-rows',
      '10000000',
      // Millions of rows wait at once here: nobody is refused because a busy machine would answer late.
      '--request-timeout-ms',
      '300000',
    ]
    server = await serveInChild(args, {}, WITH_DESCRIPTORS)
    await using load = keepAliveLoad(server.url, ['a', 'b'])
    await until(() => load.answers.length > 500, 'it is warm')
    await load.stop()
    descriptorsBefore = descriptorsOf(server)
  })
  after(async () => {
    await server?.[Symbol.asyncDispose]()
    await folder?.[Symbol.asyncDispose]()
  })

  /** Does something to the server and asks it all the while: every other answer is right, and no connection stays behind. */
  async function unharmed(act: () => Promise<void>): Promise<void> {
    await using load = keepAliveLoad(server.url, ['a', 'b'], { clients: 4 })
    await until(() => load.answers.length > 20, 'others are answered')
    const from = load.answers.length
    await act()
    const during = load.answers.length - from
    const answers = await load.stop()
    assert.ok(during > 20, `${during} answers meanwhile`)
    assert.deepEqual(
      answers.filter(({ status, model, added }) => status !== 200 || added !== (model === 'a' ? 1 : 2)),
      [],
    )
    await until(
      () => descriptorsOf(server) <= descriptorsBefore + 5,
      `its connections are closed: ${descriptorsOf(server)} descriptors, ${descriptorsBefore} before`,
    )
  }

  it('400 clients that send half a body and fall silent each get a 408', () =>
    unharmed(async () => {
      const heard = await Promise.all(
        Array.from({ length: 400 }, async () => {
          const socket = connect(portOf(server), '127.0.0.1')
          socket.write(
            'POST /models/a/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n[1,',
          )
          return (await allOf(socket)).toString('latin1')
        }),
      )
      for (const text of heard) assert.match(text, /^HTTP\/1\.1 408 /)
    }))

  it('slow readers of large answers get them whole, readers that stopped are let go', () =>
    unharmed(async () => {
      const rows = 50_000
      const { head, body } = binaryQuestion(rows)
      const ask = `POST /v2/models/a/infer HTTP/1.1\r\nhost: localhost\r\ninference-header-content-length: ${head.length}\r\ncontent-length: ${body.length}\r\n`
      const stopped = Array.from({ length: 6 }, () => {
        const socket = connect(portOf(server), '127.0.0.1')
        socket.pause()
        // More answers than the buffers of the kernel hold.
        for (let turn = 0; turn < 20; turn++) socket.write(Buffer.concat([Buffer.from(`${ask}\r\n`), body]))
        socket.on('error', () => {})
        return socket
      })
      const slow = Array.from({ length: 4 }, async () => {
        const socket = connect(portOf(server), '127.0.0.1')
        socket.write(Buffer.concat([Buffer.from(`${ask}connection: close\r\n\r\n`), body]))
        const answer = await allOf(socket, 15)
        assert.match(answer.toString('latin1', 0, 20), /^HTTP\/1\.1 200 /)
        const values = new Float32Array(Uint8Array.from(answer.subarray(answer.length - rows * WIDTH * 4)).buffer)
        assert.ok(values.every((value) => value === 4))
      })
      await Promise.all(slow)
      await until(() => {
        // A paused socket hears nothing of the reset until it writes.
        for (const socket of stopped) if (!socket.destroyed) socket.write('\r\n')
        return stopped.every((socket) => socket.destroyed)
      }, 'readers that stopped are let go')
    }))

  it('random bytes are answered with 400 or the end of the connection', () =>
    unharmed(async () => {
      const samples = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 300 }), { seed: SEED, numRuns: 2000 })
      await inTurns(samples, 16, async (bytes, index) => {
        const socket = connect(portOf(server), '127.0.0.1')
        // Half of them begin as a request does.
        const start = index % 2 === 0 ? '' : 'POST /models/a/predict HTTP/1.1\r\nhost: localhost\r\n'
        socket.end(Buffer.concat([Buffer.from(start), bytes, Buffer.from('\r\n\r\n')]))
        const heard = (await allOf(socket)).toString('latin1')
        assert.match(heard, /^(HTTP\/1\.1 4\d\d |$)/, `seed ${SEED}, sample ${index}`)
      })
    }))

  it('random JSON is answered with 4xx, or with a prediction where it is a question', () =>
    unharmed(async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 8 })
      const inputs = fc.record(
        {
          name: fc.oneof(fc.constant('x'), fc.string()),
          datatype: fc.oneof(fc.constantFrom('FP32', 'INT64', 'BYTES', 'BOOL'), fc.jsonValue()),
          shape: fc.oneof(fc.constant([1, 4]), fc.array(fc.oneof(fc.integer(), fc.double())), fc.jsonValue()),
          data: fc.oneof(fc.array(fc.double()), fc.jsonValue()),
          parameters: fc.jsonValue(),
        },
        { requiredKeys: [] },
      )
      const any = fc.oneof(
        fc.json(),
        fc.record({ inputs: fc.array(inputs) }).map((value) => JSON.stringify(value)),
        fc
          .record({ inputs: fc.jsonValue(), outputs: fc.jsonValue(), id: fc.jsonValue() }, { requiredKeys: ['inputs'] })
          .map((value) => JSON.stringify(value)),
        // Cut off where it may be.
        fc.tuple(fc.json(), fc.nat()).map(([text, at]) => text.slice(0, at % (text.length + 1))),
      )
      const samples = fc.sample(any, { seed: SEED, numRuns: 3000 })
      await inTurns(samples, 8, async (text, index) => {
        const path = index % 2 === 0 ? '/v2/models/a/infer' : '/models/b/predict'
        const { status, body } = await send(agent, `${server.url}${path}`, text)
        assert.ok(status === 200 || (status >= 400 && status < 500), `seed ${SEED}, sample ${index}: ${status} ${body} to ${text}`)
        if (status !== 200) assert.ok((JSON.parse(body) as { error: string }).error.length > 10, body)
      })
      agent.destroy()
    }))

  it('binary tensors that are cut off, or whose sizes do not fit, are answered with 400', () =>
    unharmed(async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 8 })
      const { head, body } = binaryQuestion(4)
      const numbers = fc.tuple(fc.nat({ max: body.length - 1 }), fc.integer({ min: -5, max: body.length + 50 }))
      const samples = fc.sample(numbers, { seed: SEED, numRuns: 2000 })
      await inTurns(samples, 8, async ([length, claimed], index) => {
        const headLength = index % 2 === 0 ? head.length : claimed
        const { status, body: said } = await send(agent, `${server.url}/v2/models/a/infer`, body.subarray(0, length), {
          'inference-header-content-length': String(headLength),
        })
        // Without a JSON part the body is the tensor, and one whole row of it is a question.
        const isQuestion = headLength === 0 && length === WIDTH * 4
        assert.equal(status, isQuestion ? 200 : 400, `seed ${SEED}, sample ${index}: ${said}`)
      })
      agent.destroy()
    }))

  it(`${IDLE} connections that stay open and idle keep nobody from being answered`, () =>
    unharmed(async () => {
      const words = [...WITH_DESCRIPTORS, process.execPath, join(ROOT, 'test/server/idle-client.ts'), String(portOf(server)), String(IDLE)]
      const [command = '', ...args] = words
      const client = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
      const exit = once(client, 'exit')
      let said = ''
      client.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
      client.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
      try {
        await until(() => said !== '' || client.exitCode !== null, 'the connections are open', 40_000)
        assert.match(said, /^all are open/)
        const open = /^process_open_fds (\d+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1]
        assert.ok(Number(open) >= IDLE, `${open} open descriptors`)
        await using load = keepAliveLoad(server.url, ['a', 'b'], { clients: 4 })
        await until(() => load.answers.length > 500, 'others are answered beside them')
        assert.ok((await load.stop()).every(({ status }) => status === 200))
      } finally {
        client.kill('SIGKILL')
        await exit
      }
    }))
})

/** All that comes until the other side closes; `pauseMs` between two pieces makes a slow reader. */
async function allOf(socket: Socket, pauseMs = 0): Promise<Buffer> {
  const pieces: Buffer[] = []
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  socket.on('data', (piece: Buffer) => {
    pieces.push(piece)
    if (pauseMs === 0) return
    socket.pause()
    setTimeout(() => socket.resume(), pauseMs)
  })
  const late = sleep(20_000, 'late', { ref: false })
  assert.notEqual(await Promise.race([closed, late]), 'late', 'the connection is still open after 20 s')
  return Buffer.concat(pieces)
}

/** Each of the items, so many at once. */
async function inTurns<T>(items: readonly T[], atOnce: number, act: (item: T, index: number) => Promise<void>): Promise<void> {
  const left = items.entries()
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const [index, item] of left) await act(item, index)
    }),
  )
}

function send(
  agent: Agent,
  url: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const question = request(url, { method: 'POST', agent, headers: { 'content-type': 'application/json', ...headers } }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
    })
    question.once('error', reject)
    question.end(body)
  })
}
