import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { it } from 'node:test'
import { startServer } from '../../src/server/start-server.ts'
import { addingModel, QUESTION } from '../adding-models.ts'
import { ADMIN, serveInChild } from '../child-server.ts'
import { ROOT, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { AddressInfo } from 'node:net'

/** Whether somebody listens there. */
function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

it('a request whose body is still coming when the server ends is answered when the rest comes within the grace', async () => {
  await using folder = await temporaryFolder()
  await folder.write('m.onnx', addingModel(1))
  await using server = await serveInChild([join(folder.path, 'm.onnx'), '--drain-pause', '0ms'])
  const port = Number(new URL(server.url).port)
  const client = connect(port, '127.0.0.1')
  let answer = ''
  client.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk))
  const half = Math.floor(QUESTION.length / 2)
  client.write(
    `POST /v2/models/m/infer HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${QUESTION.length}\r\n\r\n${QUESTION.slice(0, half)}`,
  )
  // A request that comes after it is answered: the first half has been read.
  assert.equal((await fetch(`${server.url}/ready`)).status, 200)
  server.signal('SIGTERM')
  await until(async () => !(await listens(port)), 'nobody else is let in')
  client.write(QUESTION.slice(half))
  assert.equal(await server.exit, 0, server.said())
  assert.match(answer, /^HTTP\/1\.1 200 /)
  client.destroy()
})

it('signals that come while models load are acted on when they have loaded: SIGHUP begins the log anew, SIGTERM ends the server politely', async () => {
  await using folder = await temporaryFolder()
  await folder.write('m.onnx', addingModel(1))
  const log = join(folder.path, 'slipway.log')
  const socket = join(folder.path, 'slipway.sock')
  const args = ['serve', join(folder.path, 'm.onnx'), '--port', '0', '--socket', socket, '--log-file', log, '--drain-pause', '500ms']
  const child = spawn(process.execPath, [join(ROOT, 'bin/slipway'), ...args], {
    env: { ...process.env, SLIPWAY_FAIL_POINTS: 'load.begin:pause' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const exit = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)))
  await until(() => existsSync(socket) && existsSync(log), 'the doors are open')
  assert.equal(said.includes('/predict'), false, 'it has not started')
  await rename(log, `${log}.1`)
  child.kill('SIGHUP')
  child.kill('SIGTERM')
  assert.equal(await exit, 0, said)
  assert.match(said, /\/predict/)
  assert.ok(existsSync(log), 'a new file was begun')
})

it('a port of administration that is taken is named, with the option that chooses another', async () => {
  await using folder = await temporaryFolder()
  await folder.write('m.onnx', addingModel(1))
  const holder = createServer()
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve))
  const { port: adminPort } = holder.address() as AddressInfo
  try {
    await assert.rejects(
      startServer({
        models: [{ path: join(folder.path, 'm.onnx') }],
        port: 0,
        adminPort,
        environment: { SLIPWAY_ADMIN_TOKEN: ADMIN.authorization.slice('Bearer '.length) },
      }),
      new RegExp(`port ${adminPort} on 127\\.0\\.0\\.1 is taken.*; choose another with --admin-port`),
    )
  } finally {
    holder.close()
  }
})

it('an administrator who hangs up in the middle of a switch is recorded with the address', async () => {
  await using folder = await temporaryFolder()
  await folder.write('m/1/model.onnx', addingModel(1))
  await folder.write('m/spare.onnx', addingModel(2))
  const trigger = join(folder.path, 'pause-once')
  await using server = await serveInChild([`m=${join(folder.path, 'm')}`], { SLIPWAY_FAIL_POINTS: `load.begin:pause@${trigger}` })
  await folder.write('pause-once', '')
  const calling = request(`${server.url}/admin/switch_model`, { method: 'POST', headers: ADMIN })
  const hungUp = new Promise((resolve) => calling.once('error', resolve))
  calling.end(JSON.stringify({ model_path: join(folder.path, 'm/spare.onnx') }))
  await until(() => !existsSync(trigger), 'the switch has begun')
  calling.destroy(new Error('hung up'))
  await hungUp
  await until(() => /"audit":true.*switch_model/.test(server.said()), 'it is recorded')
  assert.match(server.said(), /"audit":true.*switch_model.*"from":"127\.0\.0\.1"/)
})
