/** Files as attachments, by the addresses that MLflow's pages, and scripts made for these, use. */
import { SlipwayError } from '../../core/errors.ts'
import { requireTreePath } from '../../files/file-trees.ts'
import { enter, refuseStrangers } from '../enter.ts'
import { sendFile } from '../send-file.ts'
import { Fields } from './fields.ts'
import { useMlflowErrors } from './mlflow.ts'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Contents } from '../../files/contents.ts'
import type { Scope } from '../../ledger/scope.ts'
import type { Files } from '../../models/placed-files.ts'
import type { Place } from '../../models/version-source.ts'
import type { Logger } from '../../core/log.ts'
import type { EntryServices } from '../enter.ts'
import type { MlflowServices } from './call.ts'

export interface DownloadServices extends EntryServices, Pick<MlflowServices, 'versions'> {
  readonly files: Files
  readonly contents: Contents
  readonly log: Logger
}

interface Exchange {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

/** `/get-artifact` of a run, `/model-versions/get-artifact` of a version, and the files of a logged model. */
export function downloadRoutes(services: DownloadServices): FastifyPluginAsync {
  const send = async ({ request, reply }: Exchange, scope: Scope, place: Place): Promise<FastifyReply> => {
    requireTreePath(place.path)
    const file = await services.files.find(scope, place)
    return await sendFile({ ...services, file, range: request.headers.range, attachment: place.path.split('/').at(-1)! }, reply)
  }
  return async (app) => {
    useMlflowErrors(app, services)
    refuseStrangers(app, services)
    app.get('/get-artifact', async (request, reply) => {
      const fields = fieldsOf(request)
      const { scope } = await enter(services, request, { action: 'read', models: 'any' })
      const run = fields.text('run_id') ?? fields.requiredText('run_uuid')
      return await send({ request, reply }, scope, { root: `run:${run}`, path: fields.requiredText('path') })
    })
    app.get('/model-versions/get-artifact', async (request, reply) => {
      const fields = fieldsOf(request)
      const named = fields.text('name')
      const { scope } = await enter(services, request, { action: 'read', models: named === undefined ? [] : [named] })
      const name = fields.requiredText('name')
      const { id, location, number } = await services.versions.get(scope, name, fields.requiredText('version'))
      if (location !== undefined)
        throw new SlipwayError('SLW_NOT_FOUND', `the files of version ${number} of "${name}" lie at ${location}, and not here`)
      return await send({ request, reply }, scope, { root: `version:${id}`, path: fields.requiredText('path') })
    })
    for (const prefix of ['/api', '/ajax-api'])
      app.get(`${prefix}/2.0/mlflow/logged-models/:model_id/artifacts/files`, async (request, reply) => {
        const { scope } = await enter(services, request, { action: 'read', models: 'any' })
        const { model_id: model } = request.params as { model_id: string }
        return await send({ request, reply }, scope, { root: `model:${model}`, path: fieldsOf(request).requiredText('artifact_file_path') })
      })
  }
}

function fieldsOf(request: FastifyRequest): Fields {
  return new Fields(request.query as Record<string, unknown>, { fromQuery: true })
}
