import { freeBytes } from '../core/disk-space.ts'
import { enter } from './enter.ts'
import type { FastifyPluginAsync } from 'fastify'
import type { KeptFolder } from '../core/disk-space.ts'
import type { WorkQueue } from '../storage/work/work-queue.ts'
import type { EntryServices } from './enter.ts'

/** Metrics of the control plane, in the text format of Prometheus (0.0.4). */
export function metricsRoutes(
  services: EntryServices & { readonly work: WorkQueue; readonly keptFolders: readonly KeptFolder[] },
): FastifyPluginAsync {
  return async (app) => {
    app.get('/metrics', async (request, reply) => {
      await enter(services, request, { action: 'report' })
      const [counts, lateMs] = await Promise.all([services.work.counts(), services.work.lateMs()])
      const free = await Promise.all(services.keptFolders.map(async ({ what, folder }) => ({ what, bytes: await freeBytes(folder) })))
      const lines = [
        '# HELP slipway_work_items Work in the background, by kind and state.',
        '# TYPE slipway_work_items gauge',
        ...counts.map(({ kind, state, count }) => `slipway_work_items{kind="${kind}",state="${state}"} ${count}`),
        '# HELP slipway_work_late_seconds For how long what is due waits, the oldest of each kind.',
        '# TYPE slipway_work_late_seconds gauge',
        ...lateMs.map(({ kind, ms }) => `slipway_work_late_seconds{kind="${kind}"} ${ms / 1000}`),
        '# HELP slipway_disk_free_bytes Room that is left for what is kept on this machine: the database, the objects.',
        '# TYPE slipway_disk_free_bytes gauge',
        ...free.filter(({ bytes }) => Number.isFinite(bytes)).map(({ what, bytes }) => `slipway_disk_free_bytes{what="${what}"} ${bytes}`),
      ]
      return await reply.type('text/plain; version=0.0.4; charset=utf-8').send(`${lines.join('\n')}\n`)
    })
  }
}
