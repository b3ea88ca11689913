import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { planeInProcess } from '../api/in-plane.ts'
import { until } from '../fixtures.ts'
import { added, adders, deploy, follows, setAlias } from '../following/following.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { LIES, lyingProxy } from './lying-proxy.ts'
import { LONG } from './long.ts'

/** Servers at a time: each has a proxy of its own, which lies in its own way. */
const AT_ONCE = 15
/** How long they lie. */
const LIE_MS = LONG ? 30_000 : 3000

it(
  'whatever a proxy says in place of the control plane, servers go on with what they have, and follow again when it is gone',
  { timeout: 600_000 },
  async () => {
    const only = process.env['SLIPWAY_LIE']
    const ways = Object.entries(LIES).filter(([name]) => only === undefined || name === only)
    for (let first = 0; first < ways.length; first += AT_ONCE) {
      await using folder = await temporaryFolder()
      await using plane = await planeInProcess()
      await adders(plane, 3)
      await deploy(plane)
      await using opened = new AsyncDisposableStack()
      const followers = await Promise.all(
        ways.slice(first, first + AT_ONCE).map(async ([name, lie], index) => {
          const proxy = opened.use(await lyingProxy(plane.url))
          const server = opened.use(
            await follows(proxy.url, join(folder.path, String(index)), { name: `s${index}`, serving: { instances: 1 } }),
          )
          assert.equal(await added(server), 1, name)
          return { name, lie, proxy, server }
        }),
      )
      // A document from before, which a proxy may give again.
      await setAlias(plane, 2)
      for (const { name, server } of followers) await until(async () => (await added(server)) === 2, `${name}: version 2`, 30_000)
      for (const { lie, proxy } of followers) proxy.set(lie)
      await setAlias(plane, 3)
      const end = performance.now() + LIE_MS
      while (performance.now() < end) {
        for (const { name, server } of followers)
          assert.ok([2, 3].includes((await added(server)) as number), `${name}: what was served goes on`)
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      for (const { name, proxy } of followers) assert.ok(proxy.lies() > 0, `${name}: it has lied`)
      for (const { proxy } of followers) proxy.set(undefined)
      for (const { name, server } of followers) await until(async () => (await added(server)) === 3, `${name}: followed again`, 60_000)
    }
  },
)
