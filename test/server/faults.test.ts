import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { processTree } from '../../src/cli/tune/process-memory.ts'
import { adviceFor } from '../../src/serving/instance-advice.ts'
import { addingModel } from '../adding-models.ts'
import { ADMIN, serveInChild } from '../child-server.ts'
import { slipway } from '../cli/slipway.ts'
import { until } from '../fixtures.ts'
import { keepAliveLoad } from '../keep-alive-load.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ChildServer } from '../child-server.ts'
import type { Answered } from '../keep-alive-load.ts'

interface InstanceHealth {
  readonly state: string
  readonly failures: number
  readonly advice?: string
  readonly last_failure?: { readonly at: string; readonly reason: string; readonly message: string }
}

interface ModelHealth {
  readonly name: string
  readonly version: string
  readonly loaded: boolean
  readonly instances: readonly InstanceHealth[]
  readonly failures?: readonly { readonly message: string }[]
}

async function health(server: ChildServer): Promise<readonly ModelHealth[]> {
  return ((await (await fetch(`${server.url}/health`)).json()) as { models: ModelHealth[] }).models
}

async function instancesOf(server: ChildServer): Promise<InstanceHealth[]> {
  return (await health(server)).flatMap((model) => model.instances)
}

/** CPU time that a process has used, in ticks: fields 14 and 15 of /proc/PID/stat (proc(5)). */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return Number(fields[11]) + Number(fields[12])
}

/** The instance that works without a pause. */
async function busiestInstance(server: ChildServer): Promise<number> {
  const before = new Map(
    processTree(server.pid)
      .slice(1)
      .map((pid) => [pid, cpuTicks(pid)]),
  )
  await sleep(400)
  const [busiest] = [...before].map(([pid, ticks]) => ({ pid, used: cpuTicks(pid) - ticks })).toSorted((a, b) => b.used - a.used)
  return busiest?.pid ?? 0
}

/** Rows of one run at most, in the packages below: as many requests may an instance take with it. */
const HELD_MAX = 4
const ADDED: Readonly<Record<string, number>> = { frail: 1, calm: 2 }

const FAULTS = [
  { title: 'is killed in the middle of a run', fault: 'slow', kill: true, status: 503, code: 'SLW_INSTANCE_FAILED', reason: 'killed' },
  { title: 'aborts in native code', fault: 'abort', kill: false, status: 503, code: 'SLW_INSTANCE_FAILED', reason: 'killed' },
  { title: 'hangs', fault: 'hang', kill: false, status: 504, code: 'SLW_RUN_TIMEOUT', reason: 'hang' },
  { title: 'leaks memory past its limit', fault: 'leak', kill: false, status: 503, code: 'SLW_INSTANCE_FAILED', reason: 'memory limit' },
] as const

describe('under load, a process instance that', { concurrency: 2 }, () => {
  for (const { title, fault, kill, status, code, reason } of FAULTS) {
    it(`${title} fails the requests it held and no other, is replaced, and is told with what to do`, async () => {
      await using folder = await temporaryFolder()
      for (const [name, added] of Object.entries(ADDED)) {
        await folder.write(`models/${name}/model.onnx`, addingModel(added))
        const serving = `isolation: process, instances: 2, maxBatchSize: ${HELD_MAX}, runTimeoutMs: 2500, memoryLimitMb: 250`
        await folder.write(`models/${name}/slipway.yaml`, `serving: { ${serving} }\n`)
      }
      const trigger = join(folder.path, 'now')
      await using server = await serveInChild([join(folder.path, 'models')], { SLIPWAY_FAIL_POINTS: `run:${fault}@${trigger}` })
      await using load = keepAliveLoad(server.url, Object.keys(ADDED))
      await until(() => load.answers.length > 200, 'it is warm')
      const began = Date.now()
      writeFileSync(trigger, '')
      await until(() => !existsSync(trigger), 'the fault happens')
      if (kill) process.kill(await busiestInstance(server), 'SIGKILL')
      await until(async () => (await instancesOf(server)).some((instance) => instance.failures > 0), 'the end is noticed')
      const inspected = await slipway(['inspect', server.url])
      await until(async () => (await instancesOf(server)).every((instance) => instance.state === 'ready'), 'it is replaced')
      const whenReady = load.answers.length
      await until(() => load.answers.length > whenReady + 100, 'all go on')
      const answers = await load.stop()

      const failed = answers.filter((answer) => answer.status !== 200)
      assert.ok(failed.length <= HELD_MAX && failed.length >= (fault === 'leak' ? 0 : 1), JSON.stringify(failed))
      for (const answer of failed) {
        // A run that is alone in its batch, and is looked at before it is over, has taken that much itself.
        const own = fault === 'leak' && answer.status === 507
        assert.deepEqual([answer.status, answer.code], own ? [507, 'SLW_MEMORY_EXCEEDED'] : [status, code], answer.text)
      }
      assert.ok(new Set(failed.map((answer) => answer.model)).size <= 1, 'one instance, one model')
      assertRight(answers, (answer) => answer.added === ADDED[answer.model])

      const told = (await instancesOf(server)).filter((instance) => instance.failures > 0)
      assert.equal(told.length, 1)
      const [{ failures, last_failure: last, advice }] = told as [InstanceHealth]
      assert.deepEqual([failures, last?.reason, advice], [1, reason, adviceFor(reason)])
      assert.ok(Date.parse(last?.at ?? '') >= began && Date.parse(last?.at ?? '') <= Date.now(), last?.at)
      assert.match(inspected.stdout, new RegExp(`1 failure .*last: ${reason} at \\d{4}-\\S+Z \\(.* ago\\): \\S`, 's'))
      assert.ok(inspected.stdout.includes(`advice  ${adviceFor(reason)}`), inspected.stdout)
      const metrics = await (await fetch(`${server.url}/metrics`)).text()
      const counted = [...metrics.matchAll(/^slipway_instance_failures_total\{.*reason="([a-z_]+)"\} (\d+)$/gm)]
      assert.deepEqual(
        counted.map(([, by, times]) => [by, times]),
        [[reason.replace(' ', '_'), '1']],
      )
    })
  }
})

it('what waits for an instance that has ended too often keeps nobody from unloading its model', async () => {
  await using folder = await temporaryFolder()
  await folder.write('models/frail/model.onnx', addingModel(1))
  await folder.write('models/frail/slipway.yaml', 'serving: { isolation: process, instances: 1, maxBatchSize: 1, inlineMaxUs: 0 }\n')
  const trigger = join(folder.path, 'now')
  await using server = await serveInChild([join(folder.path, 'models')], { SLIPWAY_FAIL_POINTS: `run:slow@${trigger}` })
  const ready = async (): Promise<boolean> => (await instancesOf(server)).every(({ state }) => state === 'ready')
  const kill = async (): Promise<void> => {
    const { failures } = (await instancesOf(server))[0]!
    process.kill(processTree(server.pid)[1]!, 'SIGKILL')
    await until(async () => (await instancesOf(server))[0]!.failures > failures, 'its end is noticed')
  }
  // It is started again after 1, 2 and 4 seconds; the next time it takes 8.
  for (let count = 0; count < 3; count++) {
    await kill()
    await until(ready, 'it is replaced', 20_000)
  }
  await writeFile(trigger, '')
  const asked = Array.from({ length: 3 }, () =>
    fetch(`${server.url}/models/frail/predict`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '[1, 2, 3, 4]' }),
  )
  await until(() => !existsSync(trigger), 'the first is run, the others wait')
  await kill()
  const before = Date.now()
  const response = await fetch(`${server.url}/v2/repository/models/frail/unload`, { method: 'POST', headers: ADMIN })
  assert.equal(response.status, 200)
  const tookMs = Date.now() - before
  const answers = await Promise.all(
    (await Promise.all(asked)).map(async (answer) => [answer.status, ((await answer.json()) as { code?: string }).code]),
  )
  assert.deepEqual(new Set(answers.map((answer) => answer.join(' '))), new Set(['503 SLW_INSTANCE_FAILED']))
  assert.ok(tookMs < 6000, `unloaded after ${tookMs} ms: before the instance was back`)
})

/** Every answer with status 200 is one that the test allows. */
function assertRight(answers: readonly Answered[], right: (answer: Answered) => boolean): void {
  const wrong = answers.filter((answer) => answer.status === 200 && !right(answer))
  assert.deepEqual(wrong, [])
}

function assertAllRight(answers: readonly Answered[], right: (answer: Answered) => boolean): void {
  assert.deepEqual(
    answers.filter((answer) => answer.status !== 200),
    [],
  )
  assertRight(answers, right)
}

describe('under load, a model file that', { concurrency: 2 }, () => {
  it('is replaced by garbage, cut off, or deleted leaves what is loaded serving; a good one takes over', async () => {
    await using folder = await temporaryFolder()
    const file = await folder.write('models/m/model.onnx', addingModel(1))
    await folder.write('models/m/slipway.yaml', 'serving: { instances: 1 }\n')
    await folder.write('models/other/model.onnx', addingModel(9))
    await using server = await serveInChild([join(folder.path, 'models'), '--poll-ms', '100'])
    await using load = keepAliveLoad(server.url, ['m', 'other'])
    await until(() => load.answers.length > 200, 'it is warm')
    const failure = async (): Promise<string> => (await health(server)).find(({ name }) => name === 'm')?.failures?.at(-1)?.message ?? ''
    const breaks: readonly (readonly [act: () => Promise<void>, says: RegExp])[] = [
      [() => writeFile(file, 'garbage, and not little of it'), /not an ONNX model/],
      [() => writeFile(file, addingModel(1).subarray(0, 90)), /not an ONNX model|cut|truncated|ends|invalid/i],
      [() => rm(file), /no \.onnx|no such file|expected/i],
    ]
    for (const [act, says] of breaks) {
      const before = await failure()
      await act()
      await until(async () => (await failure()) !== before, 'the broken file is told')
      assert.match(await failure(), says)
    }
    assertAllRight(load.answers, (answer) => answer.added === (answer.model === 'm' ? 1 : 9))
    await folder.write('models/m/next', addingModel(2))
    await rename(join(folder.path, 'models/m/next'), file)
    await until(() => load.answers.at(-1)?.added === 2 || load.answers.at(-2)?.added === 2, 'the good file is served')
    assert.equal(await failure(), '')
    const all = await load.stop()
    const firstNew = all.findIndex((answer) => answer.added === 2)
    assertAllRight(all.slice(0, firstNew), (answer) => answer.added === (answer.model === 'm' ? 1 : 9))
    assertAllRight(all.slice(firstNew + 6), (answer) => answer.added === (answer.model === 'm' ? 2 : 9))
  })

  it('was deleted when its instance crashes keeps it from starting again, with the reason, until it is back', async () => {
    await using folder = await temporaryFolder()
    const file = await folder.write('models/m/model.onnx', addingModel(1))
    await folder.write('models/m/slipway.yaml', 'serving: { instances: 1, isolation: process }\n')
    await folder.write('models/other/model.onnx', addingModel(9))
    await using server = await serveInChild([join(folder.path, 'models')])
    const instance = processTree(server.pid)[1] ?? 0
    await using load = keepAliveLoad(server.url, ['m', 'other'])
    await until(() => load.answers.length > 100, 'it is warm')
    await rename(file, `${file}.away`)
    process.kill(instance, 'SIGKILL')
    const told = async (): Promise<InstanceHealth | undefined> => (await health(server)).find(({ name }) => name === 'm')?.instances[0]
    await until(async () => (await told())?.last_failure?.reason === 'restart failed', 'an attempt has failed')
    const { last_failure: last, advice, state } = (await told())!
    assert.equal(state, 'backing off')
    assert.ok(last?.message.includes(file), last?.message)
    assert.equal(advice, adviceFor('restart failed'))
    const { stdout } = await slipway(['inspect', server.url])
    assert.match(stdout, /last: restart failed at .*\n +next +attempt at \S+/)
    await rename(`${file}.away`, file)
    await until(async () => (await told())?.state === 'ready', 'it runs again')
    const whenReady = load.answers.length
    await until(() => load.answers.length > whenReady + 50, 'all go on')
    const answers = await load.stop()
    const refused = answers.filter((answer) => answer.status !== 200)
    assert.ok(refused.some((answer) => answer.code === 'SLW_MODEL_NOT_READY'))
    for (const answer of refused) {
      assert.equal(answer.model, 'm')
      assert.equal(answer.status, 503)
      assert.match(answer.code ?? '', /^SLW_(MODEL_NOT_READY|INSTANCE_FAILED)$/)
    }
    assertAllRight(answers.slice(whenReady + 6), (answer) => answer.added === (answer.model === 'm' ? 1 : 9))
    assertRight(answers, (answer) => answer.added === (answer.model === 'm' ? 1 : 9))
  })
})
