import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * Refuses a transaction that is begun within the work of another of the same database: on SQLite it would wait for itself, on
 * PostgreSQL it would do so when all connections are taken.
 */
export class Nesting {
  readonly #inside = new AsyncLocalStorage<{ running: boolean }>()

  /** @param run is given a function that calls the work */
  refuse<T>(run: (within: (work: () => Promise<T>) => Promise<T>) => Promise<T>): Promise<T> {
    if (this.#inside.getStore()?.running === true) {
      return Promise.reject(new Error('a transaction was begun within another: hand the first on, or begin the second after it'))
    }
    return run(async (work) => {
      const state = { running: true }
      try {
        return await this.#inside.run(state, work)
      } finally {
        state.running = false
      }
    })
  }
}
