import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startControlPlane } from '../../src/control-plane/start-control-plane.ts'
import { isSlipwayError } from '../../src/core/errors.ts'
import { addingModel } from '../adding-models.ts'
import { contentIdOf } from '../api/in-plane.ts'
import { post } from '../fixtures.ts'
import { upInChild } from '../control-plane/up-in-child.ts'
import { newMigratedPostgres } from '../storage/databases.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { LONG, seeded } from './long.ts'

interface Acknowledged {
  readonly model: string
  readonly version: number
  readonly contentId: string
}

/** Pushes versions, each of other bytes, until the control plane is gone. */
async function pushAll(url: string, name: string, acknowledged: Acknowledged[], over: () => boolean): Promise<void> {
  for (let number = 1; !over(); number++) {
    const bytes = addingModel(acknowledged.length * 1000 + number + Math.random())
    const contentId = contentIdOf(bytes)
    try {
      await fetch(`${url}/api/v1/contents/${contentId}`, { method: 'PUT', body: bytes as never })
      const answer = await fetch(`${url}/api/v1/models/${name}/versions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ files: [{ path: 'model.onnx', contentId }] }),
      })
      if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`)
      acknowledged.push({ model: name, version: ((await answer.json()) as { version: number }).version, contentId })
    } catch (error) {
      if (over() || isNetworkError(error)) return
      throw error
    }
  }
}

function isNetworkError(error: unknown): boolean {
  return error instanceof TypeError
}

describe('two control planes of one PostgreSQL that share a data folder', () => {
  it('judge every version by its files and lose none, whichever of them is killed and started', async () => {
    const random = seeded('shared data')
    await using folder = await temporaryFolder()
    const args = ['--data', folder.path, '--db', await newMigratedPostgres(), '--no-server']
    const acknowledged: Acknowledged[] = []
    await using first = await upInChild(args)
    for (const name of ['steady', 'killed']) {
      const made = await post(`${first.url}/api/v1/models`, { name })
      assert.equal(made.status, 201)
    }
    let over = false
    const steady = pushAll(first.url, 'steady', acknowledged, () => over)
    for (let round = 0; round < (LONG ? 20 : 3); round++) {
      await using second = await upInChild(args)
      const pushing = pushAll(second.url, 'killed', acknowledged, () => over)
      await sleep(500 + random.below(2500))
      second.signal('SIGKILL')
      await pushing
    }
    over = true
    await steady
    console.log(`${acknowledged.length} versions acknowledged`)
    assert.ok(acknowledged.length > 5)
    for (const { model, version, contentId } of acknowledged) {
      const at = `${first.url}/api/v1/models/${model}/versions/${version}`
      const told = (await (await fetch(at)).json()) as { servable: string; servableReason?: string }
      assert.equal(told.servable, 'yes', `${model}/${version}: ${told.servableReason}`)
      const bytes = new Uint8Array(await (await fetch(`${at}/files/model.onnx`)).arrayBuffer())
      assert.equal(contentIdOf(bytes), contentId)
    }
  })

  it('keep those of another database out of it', async () => {
    await using folder = await temporaryFolder()
    const database = await newMigratedPostgres()
    const data = folder.path
    {
      await using _plane = await startControlPlane({ data, port: 0, database })
      await using _same = await startControlPlane({ data, port: 0, database })
    }
    const other = { data, port: 0, database: `sqlite:${join(data, 'other.db')}` }
    await assert.rejects(
      startControlPlane(other),
      (error) =>
        isSlipwayError(error) &&
        error.code === 'SLW_CONFIG_INVALID' &&
        /belongs to the database at postgres:.*owner\.json/.test(error.message),
    )
    await folder.write('owner.json', '{"data')
    // One that was cut off says nothing; from here on it is the folder of this one.
    await (await startControlPlane(other))[Symbol.asyncDispose]()
    await assert.rejects(startControlPlane({ data, port: 0, database }), /belongs to the database at sqlite:/)
  })
})
