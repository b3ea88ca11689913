/** A server that is treated badly for long takes no more memory than one that was for a while: slopes over many rounds. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { addingModel, QUESTION, WIDTH } from '../adding-models.ts'
import { serveInChild } from '../child-server.ts'
import { post, until } from '../fixtures.ts'
import { slopeOf, reportingMemory, requireNoSlope } from '../memory-slope.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { added, health } from './served.ts'
import type { Socket } from 'node:net'
import type { ChildServer } from '../child-server.ts'
import type { SlopeLimits } from '../memory-slope.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

async function serveTwo(
  folder: TemporaryFolder,
  args: readonly string[] = [],
  environment: Record<string, string> = {},
): Promise<ChildServer> {
  for (const [number, name] of ['a', 'b'].entries()) await folder.write(`models/${name}/model.onnx`, addingModel(number + 1))
  return await serve(folder, [join(folder.path, 'models'), '--instances', '1', ...args], environment)
}

async function serve(folder: TemporaryFolder, args: readonly string[], environment: Record<string, string> = {}): Promise<ChildServer> {
  return await serveInChild(args, { ...environment, ...reportingMemory(join(folder.path, 'memory')) })
}

async function noSlope(
  folder: TemporaryFolder,
  server: ChildServer,
  limits: SlopeLimits,
  round: (index: number) => Promise<void>,
): Promise<void> {
  await requireNoSlope(server.pid, join(folder.path, 'memory'), limits, round)
}

/** Opens a connection, writes, and waits until the other side closes it. */
async function said(server: ChildServer, bytes: string | Uint8Array, act: (socket: Socket) => void = () => {}): Promise<void> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  const closed = once(socket, 'close')
  await once(socket, 'connect')
  socket.write(bytes)
  act(socket)
  await closed
}

async function each(count: number, act: (index: number) => Promise<unknown>): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, index) => act(index)))
}

describe('a slope', () => {
  it('is that of what grows, whatever single values are, and none of what goes up and down', () => {
    const growing = Array.from({ length: 20 }, (_, index) => 100 + 3 * index + (index === 7 ? 500 : 0))
    assert.equal(slopeOf(growing).median, 3)
    assert.ok(slopeOf(growing).atLeast > 2.5)
    const sawing = Array.from({ length: 20 }, (_, index) => 100 + (index % 4) * 10)
    assert.ok(Math.abs(slopeOf(sawing).median) < 1)
    // What goes up once and stays there, or wavers, cannot be told from nothing; a little more each time can.
    const wavering = [42.2, 42.3, 42.5, 42.4, 42.2, 42.7, 42.4, 42.4, 43.3, 43.3, 42.4, 42.9]
    assert.ok(slopeOf(wavering).atLeast < 0.05)
    assert.ok(slopeOf(wavering.map((value, index) => value + 0.1 * index)).atLeast > 0.05)
    assert.equal(slopeOf([1, 2, 3]).atLeast, 1)
  })

  it('of a server that keeps every body is found', async () => {
    await using folder = await temporaryFolder()
    await using server = await serveTwo(folder)
    let kept = 0
    // The cache keeps each answer, for as long as this test runs.
    await folder.write('models/a/slipway.yaml', 'serving: { cacheMb: 512 }\n')
    await using caching = await serve(folder, [join(folder.path, 'models/a'), '--instances', '1'])
    const round = (of: ChildServer): Promise<void> =>
      each(300, async () => {
        const inputs = [{ name: 'x', datatype: 'FP32', shape: [50, WIDTH], data: Array.from({ length: 50 * WIDTH }, () => kept++) }]
        assert.equal((await post(`${of.url}/v2/models/a/infer`, { inputs })).status, 200)
      })
    const limits = { liveMb: 0.35, residentMb: 5, warmUp: 3, rounds: 6 }
    await assert.rejects(
      noSlope(folder, caching, limits, () => round(caching)),
      /live: .* MB more in each round/,
    )
    await noSlope(folder, server, limits, () => round(server))
  })
})

describe('the memory of a server has no slope', { concurrency: 2, timeout: 300_000 }, () => {
  it('over rounds of clients that misbehave', async () => {
    await using folder = await temporaryFolder()
    await using server = await serveTwo(folder, ['--body-timeout-ms', '300', '--stall-ms', '300'])
    const head = 'POST /v2/models/a/infer HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n'
    const rows = 20_000
    const json = JSON.stringify({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [rows, WIDTH], parameters: { binary_data_size: rows * WIDTH * 4 } }],
      outputs: [{ name: 'y', parameters: { binary_data: true } }],
    })
    const large = Buffer.concat([
      Buffer.from(
        `POST /v2/models/a/infer HTTP/1.1\r\nhost: localhost\r\ninference-header-content-length: ${json.length}\r\ncontent-length: ${json.length + rows * WIDTH * 4}\r\n\r\n${json}`,
      ),
      Buffer.alloc(rows * WIDTH * 4),
    ])
    // Two hundred bytes kept of each client are more than that.
    await noSlope(folder, server, { residentMb: 1.5 }, async (round) => {
      await Promise.all([
        each(100, () => said(server, `${head}content-length: 5000\r\n\r\n{"inputs": [`)),
        each(100, (index) =>
          said(
            server,
            `${head}content-length: ${index + 20}\r\n\r\n${'{"inputs":[{"name":'.repeat(2).slice(0, index % 30)}`,
            (socket) => void socket.destroy(),
          ),
        ),
        each(50, (index) =>
          said(
            server,
            Buffer.from(Array.from({ length: 200 }, (_, at) => (at * 7 + index * 13 + round) % 256)),
            (socket) => void socket.end(),
          ),
        ),
        each(200, (index) =>
          post(`${server.url}/v2/models/b/infer`, { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, index], data: [] }] }),
        ),
        // Readers that have gone before the large answer has.
        each(5, () => said(server, large, (socket) => void setTimeout(() => socket.destroy(), 30))),
        each(300, () => said(server, '', (socket) => void setTimeout(() => socket.destroy(), 50))),
      ])
      assert.equal(await added(server, 'a'), 1)
    })
  })

  it('over instances in processes of their own that end under load', async () => {
    await using folder = await temporaryFolder()
    const trigger = join(folder.path, 'now')
    await using server = await serveTwo(folder, ['--isolation', 'process'], { SLIPWAY_FAIL_POINTS: `run:abort@${trigger}` })
    const options = { method: 'POST', headers: { 'content-type': 'application/json' }, body: QUESTION }
    // An instance that has ended is started again after a second, two, four: few rounds, each with many requests that it fails or refuses.
    await noSlope(folder, server, { liveMb: 0.5, residentMb: 5, warmUp: 1, rounds: 3 }, async () => {
      await writeFile(trigger, '')
      const ask = async (): Promise<void> => void (await (await fetch(`${server.url}/v2/models/a/infer`, options)).arrayBuffer())
      await each(200, ask)
      assert.equal(existsSync(trigger), false, 'the fault has happened')
      await each(200, ask)
      await until(async () => (await added(server, 'a').catch(() => 0)) === 1, 'it is replaced', 60_000)
    })
  })

  it('over versions that come, fail and go', async () => {
    await using folder = await temporaryFolder()
    await using server = await serveTwo(folder, ['--poll-ms', '50'])
    const file = join(folder.path, 'models/a/model.onnx')
    const put = async (bytes: Uint8Array | string): Promise<void> => {
      await writeFile(`${folder.path}/next`, bytes)
      await rename(`${folder.path}/next`, file)
    }
    const failed = async (): Promise<boolean> =>
      (await health(server)).models.some(({ name, failures = [] }) => name === 'a' && failures.length > 0)
    await noSlope(folder, server, { residentMb: 1.5 }, async (round) => {
      await put('garbage')
      await until(failed, 'the broken file is told')
      // A megabyte of weights, of which one copy at most may stay.
      await put(addingModel(round + 10, 1))
      await until(async () => (await added(server, 'a')) === round + 10, 'the next version answers')
    })
  })

  it('over a log whose disk is full', async () => {
    await using folder = await temporaryFolder()
    await using server = await serveTwo(folder, ['--log-file', '/dev/full', '--log-access'])
    const options = { method: 'POST', headers: { 'content-type': 'application/json' }, body: QUESTION }
    // Its lines, if they were kept, are half a megabyte.
    await noSlope(folder, server, { residentMb: 1.5 }, () =>
      each(1000, async () => void (await (await fetch(`${server.url}/v2/models/a/infer`, options)).arrayBuffer())),
    )
  })

  it('over models that give way to each other', async () => {
    await using folder = await temporaryFolder()
    const names = Array.from({ length: 6 }, (_, index) => `m${index}`)
    for (const [number, name] of names.entries()) await folder.write(`all/${name}/model.onnx`, addingModel(number, 20))
    const flags = [join(folder.path, 'all'), '--instances', '1', '--inline-max-us', '0', '--memory-budget-mb', '110']
    await using server = await serve(folder, flags)
    await noSlope(folder, server, { residentMb: 4, warmUp: 3, rounds: 8 }, async () => {
      for (const [number, name] of names.entries()) assert.equal(await added(server, name), number)
    })
  })
})
