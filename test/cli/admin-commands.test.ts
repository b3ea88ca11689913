import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { ADMIN_TOKEN, serveInChild } from '../child-server.ts'
import { added } from '../server/served.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { slipway } from './slipway.ts'

it('slipway admin switches, unloads, loads and sets the log level of a running server', { timeout: 120_000 }, async () => {
  await using folder = await temporaryFolder()
  for (const version of [1, 2]) await folder.write(`models/m/${version}/model.onnx`, addingModel(version))
  await folder.write('models/m/spare.onnx', addingModel(7))
  await folder.write('token', `${ADMIN_TOKEN}\n`)
  await using server = await serveInChild([join(folder.path, 'models'), '--instances', '1'])
  const admin = (...words: string[]) => slipway(['admin', ...words, '--url', server.url], undefined, { SLIPWAY_ADMIN_TOKEN: ADMIN_TOKEN })
  const says = async (words: string[], pattern: RegExp): Promise<void> => {
    const { code, stdout, stderr } = await admin(...words)
    assert.equal(code, 0, stderr)
    assert.match(stdout, pattern)
  }
  await says(['models'], /^m +1, 2 +as the folder says$/m)
  await says(['switch', 'm', '1'], /^m 2 -> 1 {2}load .* drain .*\nit stays until: slipway admin switch m policy$/m)
  assert.equal(await added(server, 'm'), 1)
  await says(['models'], /switched to .*m\/1$/m)
  await says(['switch', 'm', join(folder.path, 'models/m/spare.onnx')], /^m 1 -> spare /)
  assert.equal(await added(server, 'm'), 7)
  await says(['switch', 'm', 'policy'], /-> 2 /)
  await says(['unload', 'm'], /^m is unloaded$/m)
  assert.match(String(await added(server, 'm')), /^404/)
  await says(['load', 'm'], /^m is loaded$/m)
  assert.equal(await added(server, 'm'), 2)
  await says(['log-level'], /^info$/m)
  await says(['log-level', 'debug'], /^debug$/m)
  await says(['log-level', '--json'], /^\{"level":"debug"\}$/m)

  const wrong = await admin('switch', 'm', '9')
  assert.equal(wrong.code, 4, wrong.stderr)
  assert.match(wrong.stderr, /9/)
  assert.equal((await admin('log-level', 'loud')).code, 2)
  const withFile = await slipway(['admin', 'models', '--url', server.url, '--key-file', join(folder.path, 'token')])
  assert.equal(withFile.code, 0, withFile.stderr)
  const without = await slipway(['admin', 'models', '--url', server.url])
  assert.notEqual(without.code, 0)
  assert.match(without.stderr, /--key-file/)
  await using plain = await serveInChild([join(folder.path, 'models'), '--instances', '1'], { SLIPWAY_ADMIN_TOKEN: undefined })
  const off = await slipway(['admin', 'models', '--url', plain.url])
  assert.equal(off.code, 4)
  assert.match(off.stderr, /has no administration: start the server with SLIPWAY_ADMIN_TOKEN/)
})
