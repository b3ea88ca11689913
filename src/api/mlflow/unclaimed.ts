import { SlipwayError } from '../../core/errors.ts'
import { useMlflowErrors } from './mlflow.ts'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { Logger } from '../../core/log.ts'

/** Areas of MLflow's API that this registry does not have, and the beginnings of their routes below `/api/2.0/mlflow` and `/api/3.0/mlflow`. */
export const UNCLAIMED: Readonly<Record<string, readonly string[]>> = {
  'traces, spans and assessments': ['traces', 'unified-traces', 'get-trace-artifact', 'get-online-trace-details'],
  'the AI gateway, its endpoints, secrets, budgets and guardrails': ['gateway', 'gateway-proxy'],
  'issues of agents': ['issues'],
  'evaluation datasets': ['datasets'],
  'scorers and judges': ['scorers', 'scorer', 'genai'],
  'label schemas and review queues': ['label-schemas', 'review-queues'],
  'prompts and their optimisation': ['prompt-optimization', 'runs/create-promptlab-run'],
  "webhooks in MLflow's dialect; those of this registry are at /api/v1/webhooks": ['webhooks'],
  'workspaces; this registry has environments': ['workspaces'],
  "users and permissions of MLflow's authentication; this registry has roles and keys": [
    'users',
    'experiments/permissions',
    'registered-models/permissions',
  ],
  'signed addresses of single files; large files come in parts': ['artifacts/presigned-upload-url', 'artifacts/presigned-download-url'],
  "data that only MLflow's pages ask for": [
    'metrics/get-history-bulk',
    'metrics/get-history-bulk-interval',
    'experiments/search-datasets',
    'upload-artifact',
    'ui-telemetry',
    'demo',
    'jobs',
  ],
}

/** Answers the routes of what is not here with 501 and its name, so that nobody takes them for a mistake in the address. */
export function unclaimedRoutes(services: { readonly log: Logger }): FastifyPluginAsync {
  return async (app) => {
    useMlflowErrors(app, services)
    for (const [area, paths] of Object.entries(UNCLAIMED)) for (const path of paths) refuse(app, path, area)
  }
}

/** As {@link unclaimedRoutes}, for the one route that is below no version of the API. */
export function unclaimedGraphQl(services: { readonly log: Logger }): FastifyPluginAsync {
  return async (app) => {
    useMlflowErrors(app, services)
    refuse(app, 'graphql', "the GraphQL of MLflow's pages")
  }
}

function refuse(app: FastifyInstance, path: string, area: string): void {
  const handler = async (): Promise<never> => {
    throw new SlipwayError(
      'SLW_NOT_IMPLEMENTED',
      `This registry does not have ${area}. Its guide says what is as in MLflow, and what is not.`,
    )
  }
  app.all(`/${path}`, handler)
  app.all(`/${path}/*`, handler)
}
