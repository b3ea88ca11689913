import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startControlPlane } from '../../src/control-plane/start-control-plane.ts'
import { isSlipwayError } from '../../src/core/errors.ts'
import { post } from '../fixtures.ts'
import { upInChild } from '../control-plane/up-in-child.ts'
import { newMigratedPostgres } from '../storage/databases.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { LONG, seeded } from './long.ts'
import { pushAll, requireKept } from './pushes.ts'
import type { Acknowledged } from './pushes.ts'

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
    await requireKept(first.url, acknowledged)
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
