import { createContext, Script } from 'node:vm'

let work: () => unknown = () => undefined
const context = createContext({ work: () => work() })
const script = new Script('work()')

/**
 * Does what may take for ever because an expression of somebody else does: matching grows with the power of the text, or worse. What is
 * late is ended, also within an expression.
 * @throws what `late` makes, after `limitMs`
 */
export function withinTime<T>(task: () => T, limitMs: number, late: () => Error): T {
  const before = work
  work = task
  try {
    return script.runInContext(context, { timeout: Math.ceil(limitMs) }) as T
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
    throw late()
  } finally {
    work = before
  }
}
