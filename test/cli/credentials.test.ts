import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { join } from 'node:path'
import { it } from 'node:test'
import { authority } from '../certificates.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { slipway } from './slipway.ts'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

async function listening(server: Server, scheme: string): Promise<{ readonly url: string } & AsyncDisposable> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

it('a key that cannot be sent is refused with its place and never shown, wherever a command takes one', async () => {
  await using folder = await temporaryFolder()
  await using server = await listening(
    createServer((_request, response) => response.end('{"items":[],"total":0,"models":[]}')),
    'http',
  )
  const environment = { SLIPWAY_HOME: folder.path }
  const commands = [
    ['model', 'list', '--url', server.url],
    ['token', 'list', '--url', server.url],
    ['inspect', server.url],
    ['bench', server.url],
    ['context', 'add', 'there', server.url],
  ]
  const wrong = [
    { text: 'slw_secret\nslw_other\n', why: /expected one line with a key, and it has 2 lines/ },
    { text: 'slw_secret→', why: /expected one line with a key, and character 11 of it is none that a key can have/ },
    { text: '\n', why: /expected one line with a key, and it is empty/ },
  ]
  for (const command of commands) {
    for (const [index, { text, why }] of wrong.entries()) {
      const file = join(folder.path, `key-${index}`)
      await writeFile(file, text)
      const { code, stdout, stderr } = await slipway([...command, '--key-file', file], '', environment)
      assert.equal(code, 2, stderr)
      assert.match(stderr, why)
      assert.ok(stderr.includes(file), stderr)
      assert.doesNotMatch(stdout + stderr, /secret|slw_/)
    }
    const missing = await slipway([...command, '--key-file', join(folder.path, 'nowhere')], '', environment)
    assert.match(missing.stderr, /--key-file .*nowhere: there is no such file/)
    assert.equal(missing.code, 2)
  }
  const variable = await slipway(['model', 'list', '--url', server.url], '', { ...environment, SLIPWAY_API_KEY: 'slw_a\nslw_b' })
  assert.match(variable.stderr, /SLIPWAY_API_KEY: expected one line with a key, and it has 2 lines/)
  await writeFile(join(folder.path, 'good'), 'slw_good\n')
  assert.equal((await slipway(['model', 'list', '--url', server.url, '--key-file', join(folder.path, 'good')], '', environment)).code, 0)
})

it('an authority of its own is trusted where it is given, and where a context remembers it', async () => {
  await using folder = await temporaryFolder()
  const signer = await authority(folder.path)
  const ca = signer.cert
  const { cert, key } = await signer.issue('server')
  const pair = { cert: await readFile(cert), key: await readFile(key) }
  await using server = await listening(
    createTlsServer(pair, (_request, response) => response.end('{"items":[],"total":0,"models":[]}')),
    'https',
  )
  const environment = { SLIPWAY_HOME: folder.path }
  for (const command of [
    ['inspect', server.url],
    ['model', 'list', '--url', server.url],
  ]) {
    const without = await slipway(command, '', environment)
    assert.equal(without.code, 7)
    const trusting = await slipway([...command, '--ca', ca], '', environment)
    assert.equal(trusting.code, 0, trusting.stderr)
  }
  const added = await slipway(['context', 'add', 'there', server.url, '--ca', ca], '', environment)
  assert.equal(added.code, 0, added.stderr)
  assert.equal((await slipway(['model', 'list'], '', environment)).code, 0)
  const wrong = await slipway(['inspect', server.url, '--ca', key], '', environment)
  assert.match(wrong.stderr, /expected certificates \(PEM\), and there is none/)
})
