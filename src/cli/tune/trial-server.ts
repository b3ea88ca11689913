/**
 * Entry of a child process that serves one candidate, as `slipway serve` would. The parent sends the server's options and
 * receives the address, or the error.
 */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { toSlipwayError } from '../../core/errors.ts'
import { tuneV8 } from '../../server/tune-v8.ts'
import type { StartServerOptions } from '../../server/start-server.ts'
import type { FromTrial } from './trial.ts'

enableCompileCache()
tuneV8({ memoryBudget: false })

const tell = (message: FromTrial): void => {
  process.send?.(message)
}
// A terminal sends Ctrl-C to the whole group; the parent ends this process itself.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
// The parent has ended. Not `process.exit`, which would wait for a run in a thread, or abort on it.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
process.once('message', (options: StartServerOptions) => void serve(options))

async function serve(options: StartServerOptions): Promise<void> {
  try {
    // Loaded late, so that the compile cache applies to it.
    const { startServer } = await import('../../server/start-server.ts')
    const server = await startServer({ ...options, host: '127.0.0.1', port: 0 })
    const [variant] = server.dataPlane.variants()
    if (variant === undefined) throw new Error('the trial server has no model')
    const { serving, probe } = variant.requireReady()
    flushCompileCache()
    tell({
      type: 'ready',
      url: server.url,
      model: variant.subject.endpoint,
      version: variant.subject.version,
      serving: { instances: serving.instances, threads: serving.threads, maxBatchSize: serving.maxBatchSize },
      batchable: serving.batching === 'on' || (serving.batching === 'auto' && probe.batchable),
      batchingReason: serving.batching === 'auto' ? probe.reason : `batching is ${serving.batching}`,
    })
  } catch (error) {
    const { code, message } = toSlipwayError(error)
    tell({ type: 'failed', code, message })
  }
}
