import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { flagOf, readConfig, settings, variableOf } from '../../src/server/config.ts'
import { resolveServer } from '../../src/server/options.ts'
import { temporaryFolder } from '../temporary-folder.ts'

it('a flag wins over the environment, which wins over the file, and each value says where it comes from', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.path, 'server.yaml')
  await writeFile(file, 'port: 1\nserving: { instances: 1, threads: 1, maxBatchSize: 7 }\n')
  const { options, origins } = readConfig({
    file,
    environment: { SLIPWAY_SERVING_INSTANCES: '2', SLIPWAY_PORT: '2', PORT: '9' },
    flags: { port: '3' },
  })
  assert.equal(options.port, 3)
  assert.deepEqual(options.serving, { instances: 2, threads: 1, maxBatchSize: 7 })
  assert.deepEqual(Object.fromEntries(origins.map(({ key, origin }) => [key, origin])), {
    port: 'flag --port',
    'serving.instances': 'environment SLIPWAY_SERVING_INSTANCES',
    'serving.threads': `file ${file}`,
    'serving.maxBatchSize': `file ${file}`,
  })
})

it('what the file says of one model is over what it says of all, and under flags', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.path, 'server.yaml')
  await writeFile(file, 'serving: { instances: 1, threads: 1 }\nmodels:\n  - { path: a, serving: { threads: 2, maxBatchSize: 3 } }\n')
  const { options } = readConfig({ file, environment: {}, flags: { 'serving.maxBatchSize': '9' } })
  assert.deepEqual(options.models?.[0]?.serving, { threads: 2, maxBatchSize: 9 })
})

it('a value out of range names its origin', () => {
  assert.throws(() => readConfig({ file: undefined, environment: { PORT: '99999' }, flags: {} }), /environment PORT: must be <= 65535/)
  assert.throws(
    () => readConfig({ file: undefined, environment: {}, flags: { 'serving.isolation': 'vm' } }),
    /flag --isolation: must be one of \["thread","process"\]/,
  )
})

it('every setting has a flag and a variable of its own', () => {
  const keys = [...settings().keys()]
  assert.equal(new Set(keys.map(flagOf)).size, keys.length)
  assert.equal(new Set(keys.map(variableOf)).size, keys.length)
})

it('the doors have flags and variables as everything else, and what they cannot be is told', () => {
  const { options } = readConfig({
    file: undefined,
    environment: { SLIPWAY_TLS_KEY: 'k.pem', SLIPWAY_ALLOWED_HOSTS: 'a.example, b.example', SLIPWAY_BEHIND_PROXY: 'yes' },
    flags: { 'tls.cert': 'c.pem', cors: 'https://a.example, http://localhost:3000' },
  })
  assert.equal(flagOf('tls.cert'), 'tls-cert')
  assert.equal(flagOf('tls.clientCa'), 'tls-client-ca')
  const resolved = resolveServer(options)
  assert.deepEqual(resolved.tls, { cert: 'c.pem', key: 'k.pem' })
  assert.deepEqual(resolved.allowedHosts, ['a.example', 'b.example'])
  assert.deepEqual(resolved.cors, ['https://a.example', 'http://localhost:3000'])
  assert.equal(resolved.behindProxy, true)
  for (const cors of ['a.example', 'https://a.example/', '*,https://a.example', 'https://a.example,'])
    assert.throws(() => readConfig({ file: undefined, environment: {}, flags: { cors } }), /flag --cors/, cors)
})

it('the variables that hold secrets are known, are no settings, and are suggested to who misspells them', () => {
  const secrets = { SLIPWAY_API_KEYS: 'a=a-key', SLIPWAY_ADMIN_TOKEN: 'a-token' }
  const { warnings, origins } = readConfig({ file: undefined, environment: secrets, flags: {} })
  assert.deepEqual([warnings, origins], [[], []])
  const misspelt = readConfig({ file: undefined, environment: { SLIPWAY_API_KEY: 'a=a-key' }, flags: {} })
  assert.match(misspelt.warnings.join(), /unknown environment variable SLIPWAY_API_KEY; did you mean SLIPWAY_API_KEYS\?/)
})
