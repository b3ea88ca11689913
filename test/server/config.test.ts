import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { flagOf, readConfig, settings, variableOf } from '../../src/server/config.ts'
import { resolveServer } from '../../src/server/options.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { TracingConfig } from '../../src/serving/observe/tracing/options.ts'

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

it('a variable names the file where no flag does, as in a container', async () => {
  await using folder = await temporaryFolder()
  const [one, other] = [await folder.write('one.yaml', 'port: 1\n'), await folder.write('other.yaml', 'port: 2\n')]
  const portOf = (file: string | undefined, named: string): number | undefined =>
    readConfig({ file, environment: { SLIPWAY_CONFIG: named }, flags: {} }).options.port
  assert.equal(portOf(undefined, one), 1)
  assert.equal(portOf(other, one), 2)
  assert.equal(portOf(undefined, ''), undefined)
  assert.throws(() => portOf(undefined, join(folder.path, 'none.yaml')), /environment SLIPWAY_CONFIG \S+none\.yaml: no such file/)
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

describe('the standard variables of OpenTelemetry', () => {
  const read = (environment: Record<string, string>): TracingConfig =>
    resolveServer(readConfig({ file: undefined, environment, flags: {} }).options).tracing

  it('stand for settings of tracing, below every setting of ours', () => {
    const environment = {
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20a%3Db, X-Team = shop',
      OTEL_SERVICE_NAME: 'shop',
      OTEL_TRACES_SAMPLER_ARG: '0.5',
    }
    assert.deepEqual(read(environment), {
      endpoint: 'http://collector:4318/v1/traces',
      protocol: 'http',
      sampleRatio: 0.5,
      serviceName: 'shop',
      headers: { authorization: 'Bearer a=b', 'x-team': 'shop' },
    })
    const ours = { ...environment, SLIPWAY_TRACING_SAMPLE_RATIO: '1', SLIPWAY_TRACING_ENDPOINT: 'https://mine/otlp' }
    assert.deepEqual([read(ours).endpoint, read(ours).sampleRatio, read(ours).serviceName], ['https://mine/otlp', 1, 'shop'])
  })

  it('name the address of traces as the specification says', () => {
    const endpoint = (environment: Record<string, string>): string | undefined => read(environment).endpoint
    assert.equal(endpoint({ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://vendor/otlp/' }), 'https://vendor/otlp/v1/traces')
    const both = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://all', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://traces/here' }
    assert.equal(endpoint(both), 'http://traces/here')
    assert.equal(endpoint({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4317', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }), 'http://c:4317')
    assert.equal(endpoint({ ...both, OTEL_SDK_DISABLED: 'true' }), undefined)
    assert.equal(endpoint({ ...both, OTEL_TRACES_EXPORTER: 'none' }), undefined)
  })

  it('are ignored with a warning where they say nothing that is understood, without telling secrets', () => {
    const environment = { OTEL_TRACES_SAMPLER_ARG: '7', OTEL_EXPORTER_OTLP_PROTOCOL: 'smoke', OTEL_EXPORTER_OTLP_HEADERS: 'secret' }
    const { warnings, options } = readConfig({ file: undefined, environment, flags: {} })
    assert.equal(warnings.length, 3)
    assert.doesNotMatch(warnings.join(), /secret/)
    assert.equal(options.tracing, undefined)
  })
})

it('an address of a collector that is no URL, and a header that HTTP cannot carry, are refused', () => {
  for (const tracing of [{ endpoint: 'localhost:4317' }, { headers: { 'a b': '1' } }, { headers: { a: 'x\r\ny' } }])
    assert.throws(() => resolveServer({ tracing }), { code: 'SLW_CONFIG_INVALID' })
})

it('headers of the server file reach tracing', async () => {
  await using folder = await temporaryFolder()
  const file = await folder.write('server.yaml', 'tracing: { endpoint: "http://c:4318", headers: { authorization: Bearer x } }\n')
  const { options } = readConfig({ file, environment: { OTEL_EXPORTER_OTLP_HEADERS: 'authorization=weaker,team=shop' }, flags: {} })
  assert.deepEqual(resolveServer(options).tracing.headers, { authorization: 'Bearer x', team: 'shop' })
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
