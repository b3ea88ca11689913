import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { flagOf, readConfig, settings, variableOf } from '../../src/server/config.ts'
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
