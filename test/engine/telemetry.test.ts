import assert from 'node:assert/strict'
import { mkdir, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CUSTOMER, example, post } from '../fixtures.ts'
import { serveInChild } from '../child-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'

describe('ONNX Runtime', { concurrency: 2 }, () => {
  for (const isolation of ['thread', 'process'])
    it(`keeps no id and no reports, and leaves no files of its own in the home folder or the temporary one (${isolation})`, async () => {
      await using folder = await temporaryFolder()
      const [home, temporary] = [join(folder.path, 'home'), join(folder.path, 'tmp')]
      for (const path of [home, temporary]) await mkdir(path)
      await using server = await serveInChild([example('churn'), '--isolation', isolation], {
        ORT_DISABLE_TELEMETRY: undefined,
        XDG_CACHE_HOME: undefined,
        HOME: home,
        TMPDIR: temporary,
        NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'),
      })
      for (let left = 3; left > 0; left--) assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)
      // That a model was loaded once is noted by us.
      const left = (await readdir(folder.path, { recursive: true })).filter((path) => !'home/.cache/slipway/loaded'.startsWith(path))
      assert.deepEqual(
        left.filter((path) => !path.startsWith('home/.cache/slipway/loaded/')),
        ['tmp'],
      )
    })
})
