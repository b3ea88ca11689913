import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { startControlPlane } from '../../src/control-plane/start-control-plane.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { upInChild } from '../control-plane/up-in-child.ts'
import { freePort } from '../fixtures.ts'
import { keepAliveLoad } from '../keep-alive-load.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { adders, deploy, follows } from './following.ts'

export interface Outage {
  /** What the load generator was answered, and how much of it with something else than 200. */
  readonly answered: number
  readonly failed: number
  /** Requests in the windows of the control plane when all were there, and two seconds later. */
  readonly counted: number
  readonly countedLater: number
}

/** How long windows may take to arrive once the control plane is back. */
const ARRIVES_MS = 40_000

/** Three servers under load, whose control plane is killed without a word for so long, and comes back. */
export async function outage(lengthMs: number): Promise<Outage> {
  await using folder = await temporaryFolder()
  const data = join(folder.path, 'data')
  const port = await freePort()
  {
    await using plane = await planeInProcess({ data, port })
    await adders(plane, 1)
    await deploy(plane)
  }
  const plane = await upInChild(['--data', data, '--no-server', '--port', String(port)])
  await using one = await follows(plane.url, join(folder.path, 'a'), { name: 'a' })
  await using two = await follows(plane.url, join(folder.path, 'b'), { name: 'b' })
  await using three = await follows(plane.url, join(folder.path, 'c'), { name: 'c' })
  const loads = [one, two, three].map((server) => keepAliveLoad(server.url, ['adder'], { clients: 2, pauseMs: 5 }))
  // One window of each has arrived before.
  await pause(11_000)
  plane.signal('SIGKILL')
  await plane.exit
  await pause(lengthMs)
  const answers = (await Promise.all(loads.map((load) => load.stop()))).flat()
  await using again = await startControlPlane({ data, port })
  let counted = 0
  for (const end = Date.now() + ARRIVES_MS; counted < answers.length && Date.now() < end;) {
    await pause(100)
    counted = await requestsAt(again.url)
  }
  await pause(2000)
  return {
    answered: answers.length,
    failed: answers.filter(({ status }) => status !== 200).length,
    counted,
    countedLater: await requestsAt(again.url),
  }
}

/** Requests in the windows of a control plane. */
export async function requestsAt(url: string): Promise<number> {
  const now = Date.now()
  const query = new URLSearchParams({ span: '1h', from: String(now - 7_200_000), until: String(now + 3_600_000) })
  const { items } = (await (await fetch(`${url}/api/v1/windows?${query.toString()}`)).json()) as {
    items: { series: { name: string; statistic: { count?: number } }[] }[]
  }
  return items.reduce(
    (sum, { series }) =>
      sum + series.reduce((all, { name, statistic: { count = 0 } }) => all + (name === 'request_seconds' ? count : 0), 0),
    0,
  )
}
