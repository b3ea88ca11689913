/** Slipway's own server for these clients. */
import type { TrackingServer } from './reference-server.ts'

/** Starts a control plane with an empty registry on a loopback port; `await using` ends it. */
export function startControlPlane(): Promise<TrackingServer> {
  return Promise.reject(new Error('not there yet: the MLflow dialect of the control plane'))
}
