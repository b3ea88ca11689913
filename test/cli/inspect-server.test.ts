import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import { processTree } from '../../src/cli/tune/process-memory.ts'
import { adviceFor } from '../../src/serving/instance-advice.ts'
import { CUSTOMER, example, post, serveExamples, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { slipway } from './slipway.ts'
import type { AddressInfo } from 'node:net'

interface Told {
  readonly url: string
  readonly authorization: (string | undefined)[]
}

/** A server that answers one document to whoever shows the key, and notes what was shown. */
async function answering(document: unknown, key?: string): Promise<Told & AsyncDisposable> {
  const authorization: (string | undefined)[] = []
  const server = createServer((request, response) => {
    authorization.push(request.headers.authorization)
    const allowed = key === undefined || request.headers.authorization === `Bearer ${key}`
    response.writeHead(allowed ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify(allowed ? document : {}))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    authorization,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

describe('slipway inspect URL', () => {
  it('tells what happened last to an instance, when, how often, and what to do', async () => {
    await using server = await serveExamples(['churn'], { serving: { instances: 1, isolation: 'process' } })
    assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)
    const healthy = await slipway(['inspect', server.url])
    assert.equal(healthy.code, 0, healthy.stderr)
    assert.match(
      healthy.stdout,
      /^server +ok\n\nchurn version 1 +ready, 1 of 1 instances ready, \S+ MiB\n +churn\/v1#0 +ready +0 failures +0 time-outs$/m,
    )
    assert.doesNotMatch(healthy.stdout, /advice/)
    const [, instance = 0] = processTree(process.pid)
    process.kill(instance, 'SIGKILL')
    await until(async () => (await slipway(['inspect', server.url])).stdout.includes('1 failure '), 'the end is told')
    const { stdout } = await slipway(['inspect', server.url])
    assert.match(stdout, /churn\/v1#0 last: killed at \d{4}-\S+Z \(.* ago\): SIGKILL/)
    assert.ok(stdout.includes(`advice  ${adviceFor('killed')}`), stdout)
    const { models } = (await (await fetch(`${server.url}/health`)).json()) as { models: { instances: { advice?: string }[] }[] }
    assert.equal(models[0]?.instances[0]?.advice, adviceFor('killed'))
  })

  it('tells why a model could not be loaded and what to do', async () => {
    await using folder = await temporaryFolder()
    const broken = await folder.write('broken.onnx', 'no model')
    await using server = await serveExamples([], {
      serving: { instances: 1 },
      models: [{ path: example('churn') }, { path: broken }],
    })
    const { stdout } = await slipway(['inspect', `${server.url}/`])
    assert.match(stdout, /^server +degraded\n/)
    assert.match(stdout, /^broken version 1 +failed\n +why +\S.*\n +advice +The model could not be loaded/m)
  })

  it('reads documents of other versions: what it does not know is passed over, what is missing is not made up', async () => {
    const instance = { name: 'a/v1#0', state: 'resting', mood: 'calm', last_failure: { reason: 'bored', message: 'nothing to do' } }
    await using server = await answering({ status: 'ok', news: [1], models: [{ name: 'a', version: '9', instances: [instance] }, {}] })
    const { code, stdout } = await slipway(['inspect', server.url])
    assert.equal(code, 0)
    assert.match(stdout, /a version 9 +unknown, 0 of 1 instances ready/)
    assert.match(stdout, /last: bored: nothing to do/)
    assert.doesNotMatch(stdout, /undefined|NaN|advice/)
    const json = JSON.parse((await slipway(['inspect', server.url, '--json'])).stdout) as { news: number[] }
    assert.deepEqual(json.news, [1])
  })

  it('shows a key to a server that asks for one, as bench does, and says so where none was given', async () => {
    await using server = await answering({ status: 'ok', models: [] }, 'secret')
    const without = await slipway(['inspect', server.url])
    assert.equal(without.code, 7)
    assert.match(without.stderr, /asks for a key; give one with --key-file/)
    assert.equal((await slipway(['inspect', server.url, '--api-key', 'secret'])).code, 0)
    assert.match((await slipway(['inspect', server.url, '--api-key', 'wrong'])).stderr, /does not accept the key/)
    const bench = ['bench', server.url, '--model', 'a', '--connections', '1', '--duration', '0.1', '--json']
    assert.equal((await slipway(bench)).code, 7)
    const { stdout } = await slipway([...bench, '--api-key', 'secret'])
    assert.equal((JSON.parse(stdout) as { results: { errors: number }[] }).results[0]?.errors, 0)
  })

  it('bench ends with 1 and the kinds of errors where requests failed, and takes a time with its unit', async () => {
    await using server = createServer((request, response) => {
      response.writeHead(request.method === 'POST' ? 503 : 200).end('{}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { code, stdout, stderr } = await slipway(['bench', url, '--model', 'a', '-c', '1', '-d', '200ms', '--json'])
    server.closeAllConnections()
    const [result] = (JSON.parse(stdout) as { results: { errors: number; failures: object }[] }).results
    assert.ok(result !== undefined && result.errors > 0)
    assert.deepEqual(result.failures, { 'HTTP 503': result.errors })
    assert.match(stderr, /failed: HTTP 503 \(\d+\)/)
    assert.equal(code, 1)
  })

  it('an address where nobody answers, or somebody else does, exits with 7', async () => {
    assert.equal((await slipway(['inspect', 'http://127.0.0.1:9'])).code, 7)
    await using server = await answering(['something else'])
    const { code, stderr } = await slipway(['inspect', server.url])
    assert.equal(code, 7)
    assert.match(stderr, /does not answer like a Slipway server/)
  })
})
