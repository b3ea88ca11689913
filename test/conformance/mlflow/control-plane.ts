/** Slipway's own server for these clients. */
import { startControlPlane as start } from '../../../src/control-plane/start-control-plane.ts'
import { temporaryFolder } from '../../temporary-folder.ts'
import type { TrackingServer } from './reference-server.ts'

/** Starts a control plane with an empty registry on a loopback port; `await using` ends it. */
export async function startControlPlane(): Promise<TrackingServer> {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await temporaryFolder())
  const plane = opened.use(await start({ data: folder.path, port: 0 }))
  const held = opened.move()
  return { uri: plane.url, [Symbol.asyncDispose]: () => held.disposeAsync() }
}
