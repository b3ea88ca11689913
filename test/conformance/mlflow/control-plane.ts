/** Slipway's own server for these clients. */
import { startControlPlane as start } from '../../../src/control-plane/start-control-plane.ts'
import { newMigratedPostgres } from '../../storage/databases.ts'
import { startS3Server } from '../../storage/s3-server.ts'
import { temporaryFolder } from '../../temporary-folder.ts'
import type { TrackingServer } from './reference-server.ts'

/** Where a control plane keeps what it has. */
export const PLACES = ['SQLite and a folder', 'PostgreSQL and S3'] as const

/** Starts a control plane with an empty registry on a loopback port; `await using` ends it, and what it stands on. */
export async function startControlPlane(place: (typeof PLACES)[number]): Promise<TrackingServer> {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await temporaryFolder())
  const places = place === 'PostgreSQL and S3' ? await onServers(opened) : {}
  const plane = opened.use(await start({ data: folder.path, port: 0, ...places }))
  const held = opened.move()
  return { uri: plane.url, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

async function onServers(opened: AsyncDisposableStack): Promise<{ database: string; objects: string }> {
  const s3 = opened.use(await startS3Server())
  return { database: await newMigratedPostgres(), objects: s3.urlOf('registry') }
}
