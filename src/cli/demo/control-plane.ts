import { appendFile, cp } from 'node:fs/promises'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { startControlPlane } from '../../control-plane/start-control-plane.ts'
import { API_VERSION } from '../../contract/schema.ts'
import { formatMs } from '../../core/units.ts'
import { startServer } from '../../server/start-server.ts'
import { print, style } from '../output.ts'
import { RegistryClient } from '../control-plane/client.ts'
import { contentIdOf, localVersion } from '../model/package-files.ts'
import { ensureModel, missingOf } from '../model/push.ts'
import { Crowd } from './crowd.ts'
import type { AppliedAnswer } from '../../contract/delivery-api.ts'
import type { VersionAnswer } from '../../contract/registry-api.ts'
import type { SlipwayServer } from '../../server/start-server.ts'

const CLIENTS = 16
const LIMIT_MS = 30_000

/** Prints a command as a person would type it; its results are printed below. */
function typed(command: string): void {
  print(`${style('dim', '$')} ${style('bold', command)}`)
}

/** A control plane and a server that follows it: push, deploy, push, the alias moves, a rollback, all while clients send requests. */
export async function showControlPlane(folder: string, example: string): Promise<void> {
  print('')
  await using opened = new AsyncDisposableStack()
  typed('slipway up')
  const plane = opened.use(await startControlPlane({ data: join(folder, 'plane'), port: 0 }))
  print(`  a control plane on ${plane.url}, everything in one folder`)
  const client = new RegistryClient({ url: plane.url })
  await push(client, example, 'slipway model push examples/churn --name churn --alias champion')
  await move(client, 1)
  typed('slipway deploy churn@champion')
  const document = {
    apiVersion: API_VERSION,
    kind: 'Endpoint',
    metadata: { name: 'churn' },
    spec: { variants: [{ model: 'churn@champion' }] },
  }
  const { endpoint } = await client.ask<AppliedAnswer>('/endpoints/churn', { method: 'PUT', body: document })
  print(`  endpoint churn, revision ${endpoint.status.revision.number}: churn/${endpoint.status.revision.variants[0]!.version}`)
  typed(`slipway serve --control-plane ${plane.url} --endpoint churn`)
  const started = performance.now()
  const server = opened.use(
    await startServer({
      port: 0,
      environment: {},
      shutdown: { pauseMs: 0, graceMs: 10_000 },
      controlPlane: { url: plane.url, endpoints: ['churn'], store: join(folder, 'store'), serverName: 'demo' },
    }),
  )
  print(
    `  fetched, loaded and answering on ${server.url} after ${formatMs(performance.now() - started)}; from here on ${CLIENTS} clients ask`,
  )
  const crowd = new Crowd(server, await (await fetch(`${server.url}/models/churn/example`)).text(), CLIENTS)
  const second = join(folder, 'second')
  await cp(example, second, { recursive: true })
  await appendFile(join(second, 'README.md'), '\nThe second version.\n')
  await push(client, second, 'slipway model push second --name churn')
  typed('slipway alias set churn@champion 2')
  const moved = performance.now()
  await move(client, 2)
  await answersWith(server, '2')
  print(`  churn/2 answers ${style('green', formatMs(performance.now() - moved))} later`)
  typed('slipway endpoint rollback churn')
  const rolled = performance.now()
  await client.ask<AppliedAnswer>('/endpoints/churn/rollback', { method: 'POST', body: {} })
  await answersWith(server, '1')
  print(
    `  churn/1 answers ${style('green', formatMs(performance.now() - rolled))} later; the alias stays, and is followed again after: slipway endpoint resume churn`,
  )
  await crowd.stop()
  const failed = crowd.requests - (crowd.statuses.get(200) ?? 0)
  const answered = [...crowd.versions].map(([version, count]) => `${count} by version ${version}`).join(', ')
  print(`  meanwhile ${crowd.requests} requests: ${answered}, ${failed} failed`)
}

async function push(client: RegistryClient, path: string, command: string): Promise<void> {
  typed(command)
  const { files } = await localVersion(path)
  const sent = await Promise.all(files.map(async (file) => ({ ...file, contentId: await contentIdOf(file) })))
  const missing = await missingOf(client, sent)
  for (const file of sent)
    if (missing.has(file.contentId)) await client.send(`/contents/${file.contentId}`, file.size, () => createReadStream(file.file))
  await ensureModel(client, 'churn')
  const body = { files: sent.map(({ path: inside, contentId }) => ({ path: inside, contentId })) }
  const { version, servable, scan } = await client.ask<VersionAnswer>('/models/churn/versions', { method: 'POST', body })
  print(`  churn/${version}, servable: ${servable} (${scan.at(-1)?.detail ?? ''}); ${missing.size} of ${files.length} files were sent`)
}

async function move(client: RegistryClient, version: number): Promise<void> {
  await client.ask('/models/churn/aliases/champion', { method: 'PUT', body: { version } })
}

async function answersWith(server: SlipwayServer, version: string): Promise<void> {
  for (const end = performance.now() + LIMIT_MS; performance.now() < end; await pause(5)) {
    const { versions } = (await (await fetch(`${server.url}/v2/models/churn`)).json()) as { versions?: string[] }
    if (versions?.includes(version) === true) return
  }
  throw new Error(`version ${version} does not answer`)
}
