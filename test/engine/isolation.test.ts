import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CUSTOMER, example, post, ROOT, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'

interface Running extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  /** Makes the armed fault happen in the next run. */
  trigger(): void
}

/** A server in a process of its own, with one armed fail point. */
async function serveWithFault(fault: string, flags: readonly string[]): Promise<Running> {
  const folder = await temporaryFolder()
  const triggerFile = join(folder.path, 'now')
  const child = spawn(
    'sh',
    [
      join(ROOT, 'scripts/node'),
      join(ROOT, 'bin/slipway'),
      'serve',
      example('churn'),
      '--port',
      '0',
      '--drain-pause',
      '0ms',
      '--inline-max-us',
      '0',
      ...flags,
    ],
    {
      env: { ...process.env, SLIPWAY_FAIL_POINTS: `run:${fault}@${triggerFile}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await until(() => said.includes('/predict'), `the server starts; it said: ${said}`)
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0] ?? ''
  return {
    url,
    pid: child.pid ?? 0,
    trigger: () => writeFileSync(triggerFile, ''),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
      await folder[Symbol.asyncDispose]()
    },
  }
}

interface InstanceHealth {
  readonly state: string
  readonly failures: number
  readonly timeouts: number
  readonly last_failure?: { readonly reason: string; readonly message: string; readonly at: string }
}

async function instances(url: string): Promise<InstanceHealth[]> {
  const health = (await (await fetch(`${url}/health`)).json()) as { models: { instances: InstanceHealth[] }[] }
  return health.models[0]?.instances ?? []
}

async function expectRecovery(server: Running, reason: RegExp): Promise<void> {
  const failed = await instances(server.url)
  assert.equal(
    failed.reduce((sum, instance) => sum + instance.failures, 0),
    1,
    JSON.stringify(failed),
  )
  assert.match(failed.find((instance) => instance.failures > 0)?.last_failure?.reason ?? '', reason)
  // The other instance goes on; the failed one comes back by itself.
  assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)
  await until(async () => (await instances(server.url)).every((instance) => instance.state === 'ready'), 'both instances are ready again')
  assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)
  assert.match(await (await fetch(`${server.url}/metrics`)).text(), /slipway_instance_failures_total\{.*reason="[a-z_]+"\} 1/)
}

describe('an instance that fails takes only what it held with it', () => {
  const faults: readonly (readonly [title: string, fault: string, flags: readonly string[], status: number, reason: RegExp])[] = [
    ['a JavaScript error in a thread', 'throw', ['--isolation', 'thread'], 503, /^error$/],
    ['an exhausted heap in a thread', 'exhaust', ['--isolation', 'thread'], 503, /^heap exhausted$/],
    ['a native abort in a process', 'abort', ['--isolation', 'process'], 503, /^killed$/],
    ['a JavaScript error in a process', 'throw', ['--isolation', 'process'], 503, /^exited$/],
    ['a hang in a process', 'hang', ['--isolation', 'process', '--run-timeout-ms', '700'], 504, /^hang$/],
    ['a leak in a process with a memory limit', 'leak', ['--isolation', 'process', '--memory-limit-mb', '250'], 200, /^memory limit$/],
  ]
  for (const [title, fault, flags, status, reason] of faults) {
    it(title, async () => {
      await using server = await serveWithFault(fault, ['--instances', '2', ...flags])
      assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)
      server.trigger()
      const answer = await post(`${server.url}/predict`, CUSTOMER)
      if (fault === 'leak')
        await until(async () => (await instances(server.url)).some((instance) => instance.failures > 0), 'the leak is noticed')
      else assert.equal(answer.status, status, JSON.stringify(answer.body))
      if (status === 503) assert.ok(Number(answer.headers.get('retry-after')) >= 1)
      await expectRecovery(server, reason)
    })
  }

  it('a process killed from outside', async () => {
    await using server = await serveWithFault('throw', ['--isolation', 'process', '--instances', '2'])
    const [victim] = children(server.pid)
    process.kill(victim ?? 0, 'SIGKILL')
    await until(async () => (await instances(server.url)).some((instance) => instance.failures > 0), 'the end is noticed')
    await expectRecovery(server, /^killed$/)
  })

  it('a run past its time in a thread gets a 504, is left to finish, and is not counted as a failure', async () => {
    await using server = await serveWithFault('slow', ['--isolation', 'thread', '--instances', '1', '--run-timeout-ms', '300'])
    server.trigger()
    assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 504)
    await until(async () => (await post(`${server.url}/predict`, CUSTOMER)).status === 200, 'the thread takes work again')
    const [instance] = await instances(server.url)
    assert.deepEqual([instance?.failures, instance?.timeouts], [0, 1])
  })

  it('with no instance left the model is not ready, and says when to come back', async () => {
    await using server = await serveWithFault('abort', ['--isolation', 'process', '--instances', '1'])
    server.trigger()
    assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 503)
    const refused = await post(`${server.url}/predict`, CUSTOMER)
    assert.equal(refused.status, 503)
    assert.equal(refused.body['code'], 'SLW_MODEL_NOT_READY')
    assert.equal((await fetch(`${server.url}/ready`)).status, 503)
    assert.equal((await fetch(`${server.url}/v2/health/live`)).status, 200)
    await until(async () => (await fetch(`${server.url}/ready`)).status === 200, 'it is ready again')
  })
})

/** Grandchildren included: the server is a child of the shell that found its Node. */
function children(pid: number): number[] {
  const found: number[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const parent = Number(
        readFileSync(`/proc/${name}/stat`, 'utf8')
          .replace(/^.*\) \S /, '')
          .split(' ')[0],
      )
      if (parent === pid) found.push(Number(name))
    } catch {
      // It has just ended.
    }
  }
  return found
}
