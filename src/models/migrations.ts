import { sql } from 'kysely'
import type { Write } from '../ledger/scope.ts'
import type { Migration } from '../storage/sql/migration.ts'

/** Steps of the tables of models and versions, after the first ones that all rooms had together. */
export const MODELS_MIGRATIONS: readonly Migration[] = [
  {
    name: '0008-location',
    statements: [
      // Where the files of a version lie, where that is not here. The source may name another version, which can be renamed or deleted.
      `alter table versions add column location text`,
      `update versions set location = source
        where digest is null and source not like 'models:/%' and source not like 'runs:/%' and source not like 'mlflow-artifacts:/%'`,
      // Versions of folders of runs whose files lie elsewhere were registered with no files at all.
      `update versions set digest = null, size = null, servable_reason = 'its files are not with this registry, so that no server can take them from here',
        location = (select rtrim(runs.artifact_uri, '/') || substr(versions.source, 39) from runs where runs.id = substr(versions.source, 7, 32))
        where size = 0 and source like 'runs:/%' and exists (
          select 1 from runs where runs.id = substr(versions.source, 7, 32) and runs.artifact_uri not like 'mlflow-artifacts:/%')`,
      `update versions set location = (select artifact_uri from logged_models where logged_models.id = substr(versions.source, 9))
        where digest is null and source like 'models:/m-%'`,
    ],
    data: { name: 'locations of copies', run: locateCopies },
  },
  {
    name: '0014-gates',
    statements: [
      // The newest result of each gate of a version. `measured` is what the gate found, whoever approves; the report is JSON: GateReport of contract/gate-report.
      `create table gate_results (
        version_id text not null references versions (id) on delete cascade,
        gate text not null,
        measured text not null,
        asks_approval bigint not null,
        report text not null,
        created_by text not null,
        created_at bigint not null,
        primary key (version_id, gate))`,
    ],
  },
]

/** Gives copies of versions the location of what they were copied from, as far as it is still there by its name. */
async function locateCopies(write: Write): Promise<void> {
  for (;;) {
    // Each round reaches the copies of copies that the round before it has located.
    const { numAffectedRows } = await sql`
      update versions set location = (${original}) where location is null and digest is null and (${original}) is not null`.execute(write)
    if (numAffectedRows === undefined || numAffectedRows === 0n) return
  }
}

const original = sql`
  select other.location from versions as other
    inner join models on models.id = other.model_id
    where 'models:/' || models.name || '/' || other.number = versions.source
      and models.environment = (select environment from models as own where own.id = versions.model_id)
      and models.deleted_at is null`
