import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, readdir, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { usableCores } from '../../src/core/cores.ts'
import { CHANGE_STEPS } from '../../src/core/fail-point.ts'
import { addingModel } from '../adding-models.ts'
import { until } from '../fixtures.ts'
import { serveInChild } from '../child-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { added, health } from './served.ts'
import type { ChildServer } from '../child-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'
import type { Served } from './served.ts'

type Step = (typeof CHANGE_STEPS)[number]

/** Steps after which every new request goes to the new version. */
const SWITCHED: ReadonlySet<Step> = new Set(['switch.done', 'drain.done', 'unload.begin', 'unload.done'])

interface Scene extends AsyncDisposable {
  readonly folder: TemporaryFolder
  /** Serves the folder; whatever the process writes beside it comes to light in a folder for temporary files of its own. */
  serve(action?: string): Promise<ChildServer>
  /** The next time the step is reached, it happens. */
  arm(step: Step): Promise<void>
  /** Puts a version into the folder as one should: written elsewhere, then renamed. */
  put(version: number): Promise<void>
  /** Files in the folder, and what was left in the one for temporary files. */
  left(): Promise<string[]>
}

async function scene(): Promise<Scene> {
  const folder = await temporaryFolder()
  const place = async (name: string): Promise<string> => {
    const path = join(folder.path, name)
    await mkdir(path, { recursive: true })
    return path
  }
  const [models, temporary, triggers] = [await place('models/m'), await place('tmp'), await place('triggers')]
  const home = await place('home')
  return {
    folder,
    serve: (action) =>
      serveInChild([models, '--poll-ms', '50', '--instances', '1', '--inline-max-us', '0', '--drain-pause', '0ms'], {
        TMPDIR: temporary,
        // It keeps there which models have been loaded once.
        HOME: home,
        XDG_CACHE_HOME: undefined,
        // Where Node keeps it for every other start, too: compiling anew would take most of the time.
        NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'),
        ...(action !== undefined && {
          SLIPWAY_FAIL_POINTS: CHANGE_STEPS.map((step) => `${step}:${action}@${join(triggers, step)}`).join(','),
        }),
      }),
    arm: (step) => writeFile(join(triggers, step), ''),
    async put(version) {
      await folder.write(`new/${version}/model.onnx`, addingModel(version))
      await rename(join(folder.path, 'new', String(version)), join(models, String(version)))
    },
    async left() {
      return [...(await readdir(models, { recursive: true })), ...(await readdir(temporary, { recursive: true }))].toSorted()
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

/** Threads for instances, by what the kernel calls these: busy ones, and as many idle ones as there are cores at most. */
function instanceThreads({ pid }: ChildServer): number {
  const names = readdirSync(`/proc/${pid}/task`).map((thread) => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8').trim()
    } catch {
      return 'it has just ended'
    }
  })
  return names.filter((name) => name.startsWith('slipway instanc')).length
}

interface Traffic {
  /** Every answer so far; a connection that ended is `gone`. */
  readonly answers: readonly (number | string)[]
  stop(): Promise<void>
}

/** Asks on several connections, one request after the other, until it is stopped or the server is gone. */
function traffic(server: Served): Traffic {
  const answers: (number | string)[] = []
  const stopped = new AbortController()
  const clients = Array.from({ length: 3 }, async () => {
    while (!stopped.signal.aborted) {
      const answer = await added(server, 'm').catch(() => 'gone')
      answers.push(answer)
      if (answer === 'gone') return
      await pause(3)
    }
  })
  return {
    answers,
    async stop() {
      stopped.abort()
      await Promise.all(clients)
    },
  }
}

describe('a server that is killed in the middle of a change', { concurrency: 2 }, () => {
  for (const step of CHANGE_STEPS)
    it(`at ${step} answers until then, serves a whole version when it starts again, and leaves nothing behind`, async () => {
      await using at = await scene()
      await at.put(1)
      {
        await using server = await at.serve('kill')
        assert.equal(await added(server, 'm'), 1)
        const load = traffic(server)
        await until(() => load.answers.length > 10, 'there is traffic')
        await at.arm(step)
        await at.put(2)
        assert.equal(await server.exit, 'SIGKILL', server.said())
        await load.stop()
        const expected = new Set<number | string>(SWITCHED.has(step) ? [1, 2, 'gone'] : [1, 'gone'])
        assert.deepEqual(
          [...new Set(load.answers)].filter((answer) => !expected.has(answer)),
          [],
        )
      }
      await using again = await at.serve()
      assert.equal(await added(again, 'm'), 2)
      assert.deepEqual(
        (await health(again)).models.map(({ phase, version }) => [version, phase]),
        [['2', 'ready']],
      )
      assert.deepEqual(await at.left(), ['1', '1/model.onnx', '2', '2/model.onnx'])
    })
})

describe('a step of a change that fails', () => {
  it('fails no request: before the switch the old version goes on, after it the new one serves, and what went is gone', async () => {
    await using at = await scene()
    await at.put(1)
    await using server = await at.serve('throw')
    const load = traffic(server)
    let serving = 1
    for (const [index, step] of CHANGE_STEPS.entries()) {
      const version = index + 2
      await at.arm(step)
      await at.put(version)
      await until(() => server.said().includes(`injected: ${step} failed`), `${step} fails, and the log says so`)
      if (SWITCHED.has(step)) serving = version
      await until(() => instanceThreads(server) <= 1 + usableCores().count, `after ${step}, ${instanceThreads(server)} threads are left`)
      assert.equal(await added(server, 'm'), serving, step)
      const { models, status } = await health(server)
      assert.deepEqual([status, models.map((model) => [model.version, model.phase])], ['ok', [[String(serving), 'ready']]], step)
      if (serving !== version) {
        // The log has it as soon as the step fails; what failed is kept when the change is given up.
        const last = async (): Promise<string | undefined> => (await health(server)).models[0]?.failures?.at(-1)?.message
        await until(async () => (await last())?.includes(`injected: ${step} failed`) === true, `/health keeps that ${step} failed`)
      }
    }
    const last = CHANGE_STEPS.length + 2
    await at.put(last)
    await until(async () => (await added(server, 'm')) === last, 'the next change is made')
    await load.stop()
    assert.deepEqual(
      load.answers.filter((answer) => typeof answer !== 'number'),
      [],
      'no request failed',
    )
    assert.deepEqual(
      (await at.left()).filter((name) => !/^\d+(\/model\.onnx)?$/.test(name)),
      [],
    )
  })
})
