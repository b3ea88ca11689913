import type { Administration } from '../src/protocol/http/admin.ts'

const none = (): Promise<never> => Promise.reject(new Error('nobody administers this server'))

/** Administration of a server that a test puts together without one. */
export const NO_ADMINISTRATION: Administration = {
  models: () => Promise.resolve([]),
  switchTo: none,
  load: none,
  add: none,
  remove: none,
  setServing: none,
  unload: none,
  logLevel: none,
  setLogLevel: none,
}
