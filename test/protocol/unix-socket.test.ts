import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isSlipwayError } from '../../src/core/errors.ts'
import { ask } from '../asking.ts'
import { CUSTOMER, example, ROOT, serveExamples, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'

const ANY = 'http://localhost'
const row = JSON.stringify(CUSTOMER)
const serve = (socket: string, environment: Record<string, string> = {}): Promise<SlipwayServer> =>
  serveExamples(['churn'], { socket, serving: { instances: 1 }, environment, shutdown: { pauseMs: 0 } })
const failsWith =
  (code: ErrorCode, says: RegExp) =>
  (error: unknown): boolean =>
    isSlipwayError(error) && error.code === code && says.test(error.message)

describe('a Unix socket', () => {
  it('is listened on beside the port, with the same routes, for owner and group, and is gone afterwards', async () => {
    await using folder = await temporaryFolder()
    const socketPath = join(folder.path, 'slipway.sock')
    const server = await serve(socketPath)
    try {
      assert.equal((await ask(`${ANY}/predict`, { socketPath, body: row, headers: { 'content-type': 'application/json' } })).status, 200)
      assert.equal((await ask(`${server.url}/ready`)).status, 200)
      assert.equal(statSync(socketPath).mode & 0o777, 0o660)
    } finally {
      await server.close()
    }
    assert.equal(existsSync(socketPath), false)
  })

  it('does not mind the Host header, which no browser sends there', async () => {
    await using folder = await temporaryFolder()
    const socketPath = join(folder.path, 'slipway.sock')
    await using server = await serve(socketPath)
    assert.equal((await ask(`${ANY}/ready`, { socketPath, headers: { host: 'models.example' } })).status, 200)
    assert.equal((await ask(`${server.url}/ready`, { headers: { host: 'models.example' } })).status, 403)
  })

  it('wants the same keys', async () => {
    await using folder = await temporaryFolder()
    const socketPath = join(folder.path, 'slipway.sock')
    await using _server = await serve(socketPath, { SLIPWAY_API_KEYS: 'app=app-key-0123456789abcdef' })
    assert.equal((await ask(`${ANY}/v2`, { socketPath })).status, 401)
    assert.equal((await ask(`${ANY}/v2`, { socketPath, headers: { 'x-api-key': 'app-key-0123456789abcdef' } })).status, 200)
  })

  it('is drained with the port, and is gone then', async () => {
    await using folder = await temporaryFolder()
    const socketPath = join(folder.path, 'slipway.sock')
    await using server = await serve(socketPath)
    assert.equal(await server.drain(), true)
    assert.equal(existsSync(socketPath), false)
  })

  it('that a killed server left behind is taken over', async () => {
    await using folder = await temporaryFolder()
    const socketPath = join(folder.path, 'slipway.sock')
    const killed = spawn(join(ROOT, 'bin/slipway'), ['serve', example('churn'), '--port', '0', '--socket', socketPath], { stdio: 'ignore' })
    const ended = new Promise((resolve) => killed.once('exit', resolve))
    await until(() => existsSync(socketPath), 'the socket is there')
    killed.kill('SIGKILL')
    await ended
    assert.ok(existsSync(socketPath))
    await using _server = await serve(socketPath)
    assert.equal((await ask(`${ANY}/ready`, { socketPath })).status, 200)
  })

  it('on which somebody listens is left alone', async () => {
    await using folder = await temporaryFolder()
    const socketPath = join(folder.path, 'slipway.sock')
    await using _server = await serve(socketPath)
    await assert.rejects(serve(socketPath), failsWith('SLW_PORT_IN_USE', /--socket/))
    assert.equal((await ask(`${ANY}/ready`, { socketPath })).status, 200)
  })

  it('takes the place of nothing that is no socket, and needs a folder', async () => {
    await using folder = await temporaryFolder()
    const file = await folder.write('precious.txt', 'precious')
    await assert.rejects(serve(file), failsWith('SLW_CONFIG_INVALID', /no socket/))
    assert.equal(statSync(file).size, 'precious'.length)
    await assert.rejects(serve(join(folder.path, 'nowhere', 'slipway.sock')), failsWith('SLW_CONFIG_INVALID', /slipway\.sock/))
  })

  it('that cannot be had closes the port too', async () => {
    await using folder = await temporaryFolder()
    const file = await folder.write('precious.txt', 'precious')
    const free = createServer()
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
    const { port } = free.address() as { port: number }
    await new Promise((resolve) => free.close(resolve))
    await assert.rejects(serveExamples(['churn'], { socket: file, port, environment: {} }), failsWith('SLW_CONFIG_INVALID', /no socket/))
    await assert.rejects(ask(`http://127.0.0.1:${port}/ready`), { code: 'ECONNREFUSED' })
  })
})
