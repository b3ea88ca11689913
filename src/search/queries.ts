/** Search parses MLflow's language of filters and orders, and queries experiments, runs, models and versions by it. */
import { startsWith } from '../storage/sql/starts-with.ts'
import { filterQuery } from './compile.ts'
import { parseFilter } from './filter.ts'
import { SUMMARY_COLUMNS } from '../models/read-versions.ts'
import type { ExpressionBuilder, Kysely } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { Scope } from '../ledger/scope.ts'
import type { Dialect } from './compare.ts'

/** The database, environment and filter of a search. */
export interface Searched {
  readonly read: Kysely<Schema>
  readonly dialect: Dialect
  readonly scope: Pick<Scope, 'environment'>
  /** In MLflow's language; '' matches everything. */
  readonly filter: string
  /** Names of the models that may be found, with * at the end all that begin so. Default: all. */
  readonly visible?: readonly string[] | undefined
}

/** Life cycle stages, such as `active`. */
type Stages = readonly string[]

export function experimentsIn({ read, dialect, scope, filter }: Searched, stages: Stages) {
  const query = read
    .selectFrom('experiments')
    .selectAll('experiments')
    .where('environment', '=', scope.environment)
    .where('lifecycle_stage', 'in', stages)
  return filterQuery(query, { kind: 'experiments', clauses: parseFilter('experiments', filter), dialect })
}

/** @param experiments ids; undefined for the runs of all experiments */
export function runsIn({ read, dialect, scope, filter }: Searched, stages: Stages, experiments?: readonly string[]) {
  const mine = read.selectFrom('experiments').select('id').where('environment', '=', scope.environment)
  const query = read
    .selectFrom('runs')
    .selectAll('runs')
    .$if(experiments !== undefined, (all) => all.where('runs.experiment_id', 'in', experiments!))
    .where('runs.experiment_id', 'in', mine)
    .where('runs.lifecycle_stage', 'in', stages)
  return filterQuery(query, { kind: 'runs', clauses: parseFilter('runs', filter), dialect, few: true })
}

/** Condition for names of models by patterns. */
function named(patterns: readonly string[]) {
  return (the: ExpressionBuilder<Schema, 'models'>) =>
    the.or(
      patterns.map((pattern) =>
        pattern.endsWith('*') ? startsWith('models.name', pattern.slice(0, -1)) : the('models.name', '=', pattern),
      ),
    )
}

export function modelsIn({ read, dialect, scope, filter, visible }: Searched) {
  const query = read
    .selectFrom('models')
    .selectAll('models')
    .where('models.environment', '=', scope.environment)
    .where('models.deleted_at', 'is', null)
    .$if(visible !== undefined, (all) => all.where(named(visible!)))
  return filterQuery(query, { kind: 'models', clauses: parseFilter('models', filter), dialect })
}

/** @param model name; undefined for the versions of all models */
export function versionsIn(searched: Searched, model?: string) {
  return matchingVersions(searched, model).selectAll('versions')
}

/** As {@link versionsIn} for all models, without the documents of versions. */
export function versionSummariesIn(searched: Searched) {
  return matchingVersions(searched).select(SUMMARY_COLUMNS)
}

function matchingVersions({ read, dialect, scope, filter, visible }: Searched, model?: string) {
  const query = read
    .selectFrom('versions')
    .innerJoin('models', 'models.id', 'versions.model_id')
    .where('models.environment', '=', scope.environment)
    .$if(model !== undefined, (all) => all.where('models.name', '=', model!))
    .where('models.deleted_at', 'is', null)
    .where('versions.deleted_at', 'is', null)
    .$if(visible !== undefined, (all) => all.where(named(visible!)))
  const clauses = parseFilter('versions', filter)
  const few =
    model !== undefined || clauses.some(({ subject, key, operator }) => subject === 'attribute' && key === 'name' && operator === '=')
  return filterQuery(query, { kind: 'versions', clauses, dialect, few })
}
