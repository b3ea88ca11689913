import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { startControlPlane } from '../../src/control-plane/start-control-plane.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { freePort, until } from '../fixtures.ts'
import { keepAliveLoad } from '../keep-alive-load.ts'
import { upInChild } from '../control-plane/up-in-child.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { adders, deploy, follows } from './following.ts'

async function counted(url: string): Promise<number> {
  const now = Date.now()
  const query = new URLSearchParams({ span: '1h', from: String(now - 7_200_000), until: String(now + 3_600_000) })
  const { items } = (await (await fetch(`${url}/api/v1/windows?${query.toString()}`)).json()) as {
    items: { statistics: Record<string, any> }[]
  }
  return items.reduce(
    (sum, { statistics }) =>
      sum + Object.entries(statistics).reduce((all, [name, { count = 0 }]) => all + (name.startsWith('request_seconds') ? count : 0), 0),
    0,
  )
}

it(
  'a control plane that is killed under load costs no prediction, and the windows of that time arrive once',
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder()
    const data = join(folder.path, 'data')
    const port = await freePort()
    {
      await using plane = await planeInProcess({ data, port })
      await adders(plane, 1)
      await deploy(plane)
    }
    const url = `http://127.0.0.1:${port}`
    // Killed without a word: as a process of its own.
    const plane = await upInChild(['--data', data, '--no-server', '--port', String(port)])
    await using one = await follows(plane.url, join(folder.path, 'a'), { name: 'a' })
    await using two = await follows(plane.url, join(folder.path, 'b'), { name: 'b' })
    await using three = await follows(plane.url, join(folder.path, 'c'), { name: 'c' })
    const servers = [one, two, three]
    const loads = servers.map((server) => keepAliveLoad(server.url, ['adder'], { clients: 2, pauseMs: 5 }))
    await new Promise((resolve) => setTimeout(resolve, 11_000))
    plane.signal('SIGKILL')
    await plane.exit
    await new Promise((resolve) => setTimeout(resolve, 12_000))
    const answers = (await Promise.all(loads.map((load) => load.stop()))).flat()
    assert.deepEqual(
      answers.filter(({ status }) => status !== 200),
      [],
    )
    // Each sends what is left when it ends, or keeps it.
    await using again = await startControlPlane({ data, port })
    assert.equal(again.url, url)
    await until(async () => (await counted(url)) === answers.length, `all ${answers.length} are counted`, 40_000)
    await new Promise((resolve) => setTimeout(resolve, 2000))
    assert.equal(await counted(url), answers.length, 'and each once')
  },
)
