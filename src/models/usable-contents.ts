import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'

/** Somebody who names contents by their ids. */
export interface Reader {
  readonly environment: string
  /** Mark of the bytes that the caller sends; see `holds.held_for`. */
  readonly sender: string
  /** Whether the caller may read this model of the environment. */
  readonly reads: (model: string) => boolean
}

/**
 * Those of these contents that a caller may make files of: what the caller has sent, and what lies in files of the environment that the
 * caller may read. All others are as if they were not there, for an id alone is no right to bytes.
 */
export async function usableContents(read: Kysely<Schema>, reader: Reader, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const { environment, sender, reads } = reader
  const filesOf = (kind: string) =>
    read
      .selectFrom('files')
      .where('files.content_id', 'in', ids)
      .where(sql<boolean>`files.root like ${`${kind}:%`}`)
  const owner = (kind: string) => sql<string>`substr(files.root, ${sql.lit(kind.length + 2)})`
  const [sent, ofVersions, ofRuns, ofLogged] = await Promise.all([
    read.selectFrom('holds').select('content_id as id').where('held_for', '=', sender).where('content_id', 'in', ids).execute(),
    filesOf('version')
      .innerJoin('versions', (join) => join.on('versions.id', '=', owner('version')))
      .innerJoin('models', 'models.id', 'versions.model_id')
      .where('models.environment', '=', environment)
      .select(['files.content_id as id', 'models.name'])
      .distinct()
      .execute(),
    // Runs and logged models are open to everybody with a role in the environment.
    filesOf('run')
      .innerJoin('runs', (join) => join.on('runs.id', '=', owner('run')))
      .innerJoin('experiments', 'experiments.id', 'runs.experiment_id')
      .where('experiments.environment', '=', environment)
      .select('files.content_id as id')
      .distinct()
      .execute(),
    filesOf('model')
      .innerJoin('logged_models', (join) => join.on('logged_models.id', '=', owner('model')))
      .innerJoin('experiments', 'experiments.id', 'logged_models.experiment_id')
      .where('experiments.environment', '=', environment)
      .select('files.content_id as id')
      .distinct()
      .execute(),
  ])
  return new Set([...sent, ...ofVersions.filter(({ name }) => reads(name)), ...ofRuns, ...ofLogged].map(({ id }) => id))
}
