import { SlipwayError } from '../../core/errors.ts'
import { experimentIds, readExperiments } from '../../tracking/experiments.ts'
import { readLoggedModels } from '../../tracking/logged-models.ts'
import { readModels } from '../../models/models.ts'
import { readRuns } from '../../tracking/read-runs.ts'
import { readVersionSummaries } from '../../models/read-versions.ts'
import { filterQuery } from '../../search/compile.ts'
import { parseFilter } from '../../search/filter.ts'
import { parseLoggedModelOrder, parseOrder } from '../../search/order.ts'
import { pageOf } from '../../search/page.ts'
import { bareLoggedModelJson, experimentJson, listed, modelJson, runJson, versionJson } from './entities.ts'
import { experimentsIn, modelsIn, runsIn, versionSummariesIn } from '../../search/queries.ts'
import type { Searched } from '../../search/queries.ts'
import type { SearchKind } from '../../search/kinds.ts'
import type { PageRequest } from '../../search/page.ts'
import type { Call } from './call.ts'
import type { Fields } from './fields.ts'

const VIEWS = ['ACTIVE_ONLY', 'DELETED_ONLY', 'ALL'] as const

/** Default and upper limit of the items of a kind in one answer. */
const SIZES: Readonly<Record<SearchKind, readonly [usual: number, most: number]>> = {
  experiments: [1000, 50_000],
  runs: [1000, 50_000],
  models: [100, 1000],
  versions: [10_000, 200_000],
  loggedModels: [100, 1000],
}

/** Upper limit of the rows that are read with their details: for more a client asks for the next page. */
const ROWS_MAX = 10_000

function pageRequest({ services, scope, fields }: Call, kind: SearchKind): PageRequest {
  const [usual, most] = SIZES[kind]
  // The reference server gives no default to experiments, and says so.
  const asked = fields.integer('max_results') ?? (kind === 'experiments' ? 0 : usual)
  if (asked < 1 || asked > most)
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `Invalid value ${asked} for parameter 'max_results' supplied. It must be at least 1 and at most ${most}.`,
    )
  return {
    kind,
    dialect: services.ground.database.dialect,
    maxResults: Math.min(asked, ROWS_MAX),
    pageToken: fields.text('page_token') ?? '',
    among: [
      scope.environment,
      fields.text('filter'),
      fields.text('view_type') ?? fields.text('run_view_type'),
      ...fields.texts('experiment_ids').toSorted(),
    ],
  }
}

function searched({ services, scope, fields, caller }: Call): Searched {
  const { read, dialect } = services.ground.database
  return { read, dialect, scope, filter: fields.text('filter') ?? '', visible: caller.modelsTo('read', scope.environment) }
}

function token(next: string | undefined): object {
  return next === undefined ? {} : { next_page_token: next }
}

function stagesOf(view: (typeof VIEWS)[number]): string[] {
  if (view === 'ALL') return ['active', 'deleted']
  return view === 'ACTIVE_ONLY' ? ['active'] : ['deleted']
}

function viewOf(fields: Fields, name: string): string[] {
  return stagesOf(fields.oneOf(name, VIEWS) ?? 'ACTIVE_ONLY')
}

export async function searchExperiments(call: Call): Promise<object> {
  const { services, fields } = call
  const query = experimentsIn(searched(call), viewOf(fields, 'view_type'))
  const { rows, nextPageToken } = await pageOf(query, parseOrder('experiments', fields.texts('order_by')), pageRequest(call, 'experiments'))
  return {
    ...listed('experiments', (await readExperiments(services.ground.database.read, rows)).map(experimentJson)),
    ...token(nextPageToken),
  }
}

export async function searchRuns(call: Call): Promise<object> {
  const { services, scope, fields } = call
  const experiments = await experimentIds(services.ground.database.read, scope, fields.texts('experiment_ids'))
  const query = runsIn(searched(call), viewOf(fields, 'run_view_type'), experiments)
  const order = parseOrder('runs', fields.texts('order_by'))
  const request = pageRequest(call, 'runs')
  if (experiments.length === 0) return {}
  const { rows, nextPageToken } = await pageOf(query, order, request)
  return { ...listed('runs', (await readRuns(services.ground.database.read, rows)).map(runJson)), ...token(nextPageToken) }
}

export async function searchLoggedModels(call: Call): Promise<object> {
  const { services, scope, fields } = call
  const experiments = await experimentIds(services.ground.database.read, scope, fields.texts('experiment_ids'))
  if (!fields.has('experiment_ids')) return fields.missing('experiment_ids')
  const datasets = fields.objects('datasets').map((dataset) => {
    const digest = dataset.text('dataset_digest')
    return { name: dataset.requiredText('dataset_name'), ...(digest !== undefined && digest !== '' && { digest }) }
  })
  const order = parseLoggedModelOrder(
    fields.objects('order_by').map((term) => ({
      field_name: term.requiredText('field_name'),
      ascending: !term.has('ascending') || term.flag('ascending'),
      ...optional('dataset_name', term.text('dataset_name')),
      ...optional('dataset_digest', term.text('dataset_digest')),
    })),
    datasets,
  )
  const mine = services.ground.database.read.selectFrom('experiments').select('id').where('environment', '=', scope.environment)
  const query = services.ground.database.read
    .selectFrom('logged_models')
    .selectAll('logged_models')
    .where('logged_models.experiment_id', 'in', experiments)
    .where('logged_models.experiment_id', 'in', mine)
    .where('logged_models.lifecycle_stage', '=', 'active')
  const clauses = parseFilter('loggedModels', fields.text('filter') ?? '')
  const filtered = filterQuery(query, { kind: 'loggedModels', clauses, dialect: services.ground.database.dialect, datasets, few: true })
  const request = pageRequest(call, 'loggedModels')
  if (experiments.length === 0) return {}
  const { rows, nextPageToken } = await pageOf(filtered, order, request)
  return {
    ...listed('models', (await readLoggedModels(services.ground.database.read, rows)).map(bareLoggedModelJson)),
    ...token(nextPageToken),
  }
}

function optional<Name extends string>(name: Name, value: string | undefined): Partial<Record<Name, string>> {
  return value === undefined || value === '' ? {} : ({ [name]: value } as Record<Name, string>)
}

export async function searchModels(call: Call): Promise<object> {
  const { services, fields } = call
  const order = parseOrder('models', fields.texts('order_by'))
  const { rows, nextPageToken } = await pageOf(modelsIn(searched(call)), order, pageRequest(call, 'models'))
  return { ...listed('registered_models', (await readModels(services.ground.database.read, rows)).map(modelJson)), ...token(nextPageToken) }
}

export async function searchVersions(call: Call): Promise<object> {
  const { services, fields } = call
  const order = parseOrder('versions', fields.texts('order_by'))
  const { rows, nextPageToken } = await pageOf(versionSummariesIn(searched(call)), order, pageRequest(call, 'versions'))
  return {
    ...listed('model_versions', (await readVersionSummaries(services.ground.database.read, rows)).map(versionJson)),
    ...token(nextPageToken),
  }
}
