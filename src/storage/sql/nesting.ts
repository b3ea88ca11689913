import { AsyncLocalStorage } from 'node:async_hooks'

const inside = new AsyncLocalStorage<{ running: boolean }>()

/**
 * Refuses a transaction that is begun within the work of another: on SQLite it would wait for itself, on PostgreSQL it would
 * do so when all connections are taken.
 * @param run is given a function that calls the work
 */
export function refuseNested<T>(run: (within: (work: () => Promise<T>) => Promise<T>) => Promise<T>): Promise<T> {
  if (inside.getStore()?.running === true) {
    return Promise.reject(new Error('a transaction was begun within another: hand the first on, or begin the second after it'))
  }
  return run(async (work) => {
    const state = { running: true }
    try {
      return await inside.run(state, work)
    } finally {
      state.running = false
    }
  })
}
