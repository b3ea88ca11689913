import { gaugesText } from '../core/gauges.ts'
import { enter } from './enter.ts'
import type { FastifyPluginAsync } from 'fastify'
import type { Gauge } from '../core/gauges.ts'
import type { EntryServices } from './enter.ts'

/** Metrics of the control plane, in the text format of Prometheus (0.0.4): what its rooms tell. */
export function metricsRoutes(services: EntryServices, gauges: () => Promise<readonly Gauge[]>): FastifyPluginAsync {
  return async (app) => {
    app.get('/metrics', async (request, reply) => {
      await enter(services, request, { action: 'report' })
      return await reply.type('text/plain; version=0.0.4; charset=utf-8').send(gaugesText(await gauges()))
    })
  }
}
